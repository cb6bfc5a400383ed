// @ts-check
// The live activity of all boards (Server-Sent Events). It comes back by itself until it is closed or the token is refused.
//
// Not EventSource: that one delivers only event names that were registered before, and ours are whatever actions clients invent; it
// also hides the status, so that a refused token could not be told from a server that is away.
// Spec: HTML, "Server-sent events", section "Interpreting an event stream".
// SPDX-License-Identifier: Apache-2.0

import { Reconnect } from './reconnect.js';

const LINE_MAX = 8 * 1024 * 1024; // Characters; the server's messages end at 1 MiB, escapes make them longer.

/** @typedef {{event: string, data: string, id: string}} StreamEvent */

/** Cuts text that arrives in pieces into events. */
export class EventParser {
  /** @param {(event: StreamEvent) => void} onEvent */
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = '';
    this.heldBack = false; // The rest ends with a CR that may be half of CRLF.
    /** @type {string[]} */
    this.data = [];
    this.event = '';
    this.id = '';
  }

  /**
   * @param {string} piece
   * @returns {boolean} false when a line is longer than any that the server sends
   */
  feed(piece) {
    if (!/[\r\n]/.test(piece) && !this.heldBack) {
      this.rest += piece; // Not looked at again: a long line would cost the square of its length.
      return this.rest.length <= LINE_MAX;
    }
    const buffer = this.rest + piece;
    const lineEnd = /\r\n|\r(?!$)|\n/g; // A CR at the very end may be the first half of CRLF.
    let start = 0;
    for (let match = lineEnd.exec(buffer); match; match = lineEnd.exec(buffer)) {
      this.line(buffer.slice(start, match.index));
      start = lineEnd.lastIndex;
    }
    this.rest = buffer.slice(start);
    this.heldBack = this.rest.endsWith('\r');
    return this.rest.length <= LINE_MAX;
  }

  /** @param {string} line */
  line(line) {
    if (line === '') {
      this.dispatch();
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') {
      this.data.push(value);
    } else if (field === 'event') {
      this.event = value;
    } else if (field === 'id' && !value.includes('\0')) {
      this.id = value;
    }
  }

  dispatch() {
    if (this.data.length > 0) {
      this.onEvent({ event: this.event || 'message', data: this.data.join('\n'), id: this.id });
    }
    this.data = [];
    this.event = '';
  }
}

/**
 * @typedef {object} StreamHandlers
 * @property {(event: StreamEvent) => void} onEvent
 * @property {(state: import('./socket.js').LinkState, detail: string) => void} onState
 */

export class ActivityStream {
  /**
   * @param {string} token
   * @param {Reconnect} reconnect
   * @param {StreamHandlers} handlers
   */
  constructor(token, reconnect, handlers) {
    this.token = token;
    this.reconnect = reconnect;
    this.handlers = handlers;
    this.lastId = '';
    /** @type {AbortController | null} */
    this.request = null;
  }

  open() {
    this.reconnect.cancel();
    const request = new AbortController();
    this.request = request;
    this.handlers.onState('connecting', '');
    void this.run(request);
  }

  close() {
    this.reconnect.cancel();
    this.request?.abort();
    this.request = null;
  }

  /** Does not wait for the next attempt if one is planned. */
  hurry() {
    if (this.reconnect.waiting) {
      this.open();
    }
  }

  /** @param {AbortController} request */
  async run(request) {
    let openedAt = 0;
    let retryAfterMs = 0;
    let why = 'disconnected';
    try {
      const response = await this.fetchStream(request);
      if (response.status === 401) {
        this.request = null;
        this.handlers.onState('refused', 'the token is not accepted');
        return;
      }
      if (response.ok && response.body) {
        openedAt = Date.now();
        this.handlers.onState('live', '');
        await this.read(response.body);
      } else {
        why = response.status === 429 ? 'too many attempts' : `the server answered ${response.status}`;
        retryAfterMs = 1000 * (Number(response.headers.get('Retry-After')) || 0);
      }
    } catch {
      // The network's reason is in the browser's console; here it only means: not connected.
    }
    if (this.request === request) {
      request.abort();
      this.plan(Math.max(retryAfterMs, this.reconnect.delay(openedAt === 0 ? 0 : Date.now() - openedAt)), why);
    }
  }

  /** @param {AbortController} request */
  fetchStream(request) {
    const url = new URL('/sse/activity', window.location.href);
    url.searchParams.set('token', this.token);
    /** @type {Record<string, string>} */
    const headers = { Accept: 'text/event-stream' };
    if (this.lastId !== '') {
      headers['Last-Event-ID'] = this.lastId;
    }
    return fetch(url, { headers, cache: 'no-store', signal: request.signal });
  }

  /** @param {ReadableStream<Uint8Array>} body */
  async read(body) {
    const parser = new EventParser((event) => {
      this.lastId = event.id || this.lastId;
      this.handlers.onEvent(event);
    });
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || !parser.feed(decoder.decode(value, { stream: true }))) {
        return;
      }
    }
  }

  /**
   * @param {number} delayMs
   * @param {string} why
   */
  plan(delayMs, why) {
    this.request = null;
    this.reconnect.schedule(delayMs, () => this.open());
    this.handlers.onState('waiting', `${why}, next attempt in ${(delayMs / 1000).toFixed(1)} s`);
  }
}
