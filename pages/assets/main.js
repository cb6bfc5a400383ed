// @ts-check
// The board page: reads the form, opens the two connections, and hands what they bring to the state and the view.
// SPDX-License-Identifier: Apache-2.0

import { BoardState, parseObject, toEvent } from './board.js';
import { Reconnect } from './reconnect.js';
import { BoardSocket } from './socket.js';
import { ActivityStream } from './stream.js';
import { BoardView, element } from './view.js';

const SETTLE_MS = 250; // The server refuses a token just after the handshake; the stream waits for that answer.
const DRAW_MS = 50; // Not an animation frame: a page in the background has none, and must not wake up to an empty feed.
const PENDING_MAX = 100; // Activities kept until the next drawing; the feed shows no more than that.

const settings = document.body.dataset;
const inputs = {
  board: element('board', HTMLInputElement),
  user: element('user', HTMLInputElement),
  token: element('token', HTMLInputElement),
};

let state = new BoardState();
/** @type {BoardSocket | null} */
let socket = null;
/** @type {ActivityStream | null} */
let stream = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let streamStart;
/** @type {import('./board.js').ActivityEvent[]} */
let pending = [];

const view = new BoardView((id, column) => {
  const card = state.cards.get(id);
  if (card && card.column !== column) {
    send('card.moved', { card_id: id, title: card.title, column });
  }
});

/** A random name. Not crypto.randomUUID(): browsers have that only on https and localhost. */
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * @param {string} action
 * @param {Record<string, unknown>} payload
 */
function send(action, payload) {
  const sent = socket?.send({ action, payload, user: inputs.user.value, correlation_id: randomId() }) ?? false;
  view.showProblem(sent ? '' : 'Not sent: there is no connection to the board.');
  return sent;
}

/** @param {Record<string, unknown>} frame */
function takeFrame(frame) {
  if (frame.kind === 'error') {
    const detail = typeof frame.detail === 'string' ? frame.detail : JSON.stringify(frame.detail);
    view.showProblem(`The server did not take the message (${String(frame.reason)}): ${detail}`);
    return;
  }
  if (frame.kind === 'gap' || frame.kind === 'resync') {
    view.showProblem('Some events of this board were missed and can no longer be fetched.');
    return;
  }
  if (frame.kind !== 'board_event') {
    return;
  }
  const event = toEvent(frame);
  if (socket && event.cursor !== '') {
    socket.cursor = event.cursor;
  }
  view.showPresent(event.present);
  const change = state.apply(event);
  if (change && 'card' in change) {
    view.showCard(change.card);
    if (change.dropped !== undefined) {
      view.dropCard(change.dropped);
    }
  } else if (change) {
    view.showChat(change.chat);
  }
}

/** @param {import('./stream.js').StreamEvent} event */
function takeActivity({ event, data }) {
  if (event === 'boardbus.gap' || event === 'boardbus.resync') {
    view.showGap('Some events were missed here and can no longer be fetched.');
    return;
  }
  const object = event === 'heartbeat' ? null : parseObject(data);
  if (object?.kind !== 'board_event') {
    return;
  }
  if (pending.length === 0) {
    setTimeout(drawActivities, DRAW_MS);
  }
  pending.push(toEvent(object));
  if (pending.length > PENDING_MAX) {
    pending.shift();
  }
}

/** Many at once: a busy server has more events than a screen has frames. */
function drawActivities() {
  view.showActivities(pending);
  pending = [];
}

function newReconnect() {
  return new Reconnect(Number(settings.reconnectInitialMs) || 1500, Number(settings.reconnectMaxMs) || 10000);
}

function disconnect() {
  clearTimeout(streamStart);
  socket?.close();
  stream?.close();
  socket = null;
  stream = null;
}

function connect() {
  disconnect();
  state = new BoardState();
  pending = [];
  view.clear();
  const token = inputs.token.value;
  const activities = new ActivityStream(token, newReconnect(), {
    onEvent: takeActivity,
    onState: (now, detail) => view.showState('stream', now, detail),
  });
  socket = new BoardSocket(inputs.board.value, token, newReconnect(), {
    onFrame: takeFrame,
    onState: (now, detail) => {
      view.showState('socket', now, detail);
      clearTimeout(streamStart);
      if (now === 'refused') {
        inputs.token.focus();
      } else if (now !== 'connecting' && stream === null) {
        streamStart = setTimeout(() => {
          stream = activities;
          activities.open();
        }, SETTLE_MS);
      }
    },
  });
  view.showState('stream', 'off', '');
  socket.open();
}

/** A name that a URL's path can carry; browsers resolve "." and ".." whatever their spelling. */
function checkBoard() {
  const name = inputs.board.value;
  const bytes = new TextEncoder().encode(name).length;
  inputs.board.setCustomValidity(
    bytes > 256 ? 'At most 256 bytes.' : name === '.' || name === '..' ? 'A board cannot have this name.' : '',
  );
}

function remember() {
  sessionStorage.setItem('boardbus.token', inputs.token.value); // Until the tab is closed.
  localStorage.setItem('boardbus.user', inputs.user.value);
  const here = new URL(window.location.href);
  here.searchParams.set('board', inputs.board.value);
  history.replaceState(null, '', here);
}

inputs.board.addEventListener('input', checkBoard);

element('connect', HTMLFormElement).addEventListener('submit', (submit) => {
  submit.preventDefault();
  remember();
  connect();
});

element('add-card', HTMLFormElement).addEventListener('submit', (submit) => {
  submit.preventDefault();
  const title = element('card-title', HTMLInputElement);
  if (send('card.created', { card_id: randomId(), title: title.value, column: 'backlog' })) {
    title.value = '';
  }
});

element('say', HTMLFormElement).addEventListener('submit', (submit) => {
  submit.preventDefault();
  const line = element('chat-text', HTMLInputElement);
  if (send('chat.message', { message: line.value })) {
    line.value = '';
  }
});

window.addEventListener('online', () => {
  socket?.hurry();
  stream?.hurry();
});
window.addEventListener('pagehide', disconnect);
window.addEventListener('pageshow', (show) => {
  if (show.persisted && inputs.token.value !== '') {
    connect(); // The page comes out of the back/forward cache without its connections.
  }
});

inputs.board.value = new URL(window.location.href).searchParams.get('board') || 'demo';
inputs.user.value = localStorage.getItem('boardbus.user') ?? '';
inputs.token.value = sessionStorage.getItem('boardbus.token') || settings.tokenHint || '';
element('token-hint', HTMLParagraphElement).hidden = !settings.tokenHint;
checkBoard();
if (inputs.token.value !== '' && inputs.board.validity.valid) {
  connect();
}
