// @ts-check
// The WebSocket to one board. It comes back by itself until it is closed or the token is refused.
// SPDX-License-Identifier: Apache-2.0

import { parseObject } from './board.js';
import { Reconnect } from './reconnect.js';

const UNAUTHORIZED = 4401;
const TRY_AGAIN_LATER = 1013;

/** @typedef {'off' | 'connecting' | 'live' | 'waiting' | 'refused'} LinkState */

/**
 * @typedef {object} SocketHandlers
 * @property {(frame: Record<string, unknown>) => void} onFrame
 * @property {(state: LinkState, detail: string) => void} onState
 */

export class BoardSocket {
  /**
   * @param {string} board
   * @param {string} token
   * @param {Reconnect} reconnect
   * @param {SocketHandlers} handlers
   */
  constructor(board, token, reconnect, handlers) {
    this.board = board;
    this.token = token;
    this.reconnect = reconnect;
    this.handlers = handlers;
    /** Where to go on after a reconnect; the server gives it with each event once it can resume. */
    this.cursor = '';
    this.openedAt = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
  }

  open() {
    this.reconnect.cancel();
    const url = new URL(`/ws/boards/${encodeURIComponent(this.board)}`, window.location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.searchParams.set('token', this.token);
    if (this.cursor !== '') {
      url.searchParams.set('since', this.cursor);
    }

    const socket = new WebSocket(url);
    this.socket = socket;
    this.openedAt = 0;
    this.handlers.onState('connecting', '');
    socket.addEventListener('open', () => {
      if (this.socket === socket) {
        this.openedAt = Date.now();
        this.handlers.onState('live', '');
      }
    });
    socket.addEventListener('message', ({ data }) => {
      const frame = this.socket === socket ? parseObject(data) : null;
      if (frame) {
        this.handlers.onFrame(frame);
      }
    });
    socket.addEventListener('close', ({ code }) => {
      if (this.socket === socket) {
        this.closed(code);
      }
    });
  }

  close() {
    this.reconnect.cancel();
    const socket = this.socket;
    this.socket = null; // From here on its events are nobody's.
    socket?.close(1000);
  }

  /** Does not wait for the next attempt if one is planned. */
  hurry() {
    if (this.reconnect.waiting) {
      this.open();
    }
  }

  /**
   * @param {object} message
   * @returns {boolean} false when there is no connection
   */
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) {
      return false;
    }
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** @param {number} code */
  closed(code) {
    this.socket = null;
    if (code === UNAUTHORIZED) {
      this.handlers.onState('refused', 'the token is not accepted');
      return;
    }
    const delayMs = this.reconnect.delay(this.openedAt === 0 ? 0 : Date.now() - this.openedAt);
    const why = code === TRY_AGAIN_LATER ? 'the server is full' : 'disconnected';
    this.reconnect.schedule(delayMs, () => this.open());
    this.handlers.onState('waiting', `${why}, next attempt in ${(delayMs / 1000).toFixed(1)} s`);
  }
}
