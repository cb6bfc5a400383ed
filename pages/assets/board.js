// @ts-check
// What the page knows of one board: cards and chat, rebuilt from live events. No DOM here.
//
// Every event comes from somebody else and is believed in nothing: types are checked, lengths cut, counts bounded.
// SPDX-License-Identifier: Apache-2.0

/** @typedef {'backlog' | 'doing' | 'done'} Column */
/** @typedef {{id: string, title: string, column: Column, user: string}} Card */
/** @typedef {{user: string, text: string, time: string}} ChatLine */
/** @typedef {{card: Card, dropped?: string} | {chat: ChatLine} | null} Change */

/**
 * An ActivityEvent, as far as it can be trusted.
 * @typedef {{id: string, board: string, action: string, user: string, payload: Record<string, unknown>, timestamp: string,
 *            present: number, cursor: string}} ActivityEvent
 */

/** @type {readonly Column[]} */
export const COLUMNS = ['backlog', 'doing', 'done'];

const CARDS_MAX = 500; // The oldest card leaves.
const SEEN_MAX = 1000; // Event ids remembered; a resumed connection may repeat what came last.
const TITLE_MAX = 200;
const TEXT_MAX = 2000;
const NAME_MAX = 80;

/** @param {unknown} value @param {number} max */
function text(value, max) {
  return typeof value === 'string' ? value.slice(0, max) : '';
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads one frame or SSE data line; null when it is no JSON object.
 * @param {unknown} raw
 * @returns {Record<string, unknown> | null}
 */
export function parseObject(raw) {
  try {
    const value = JSON.parse(String(raw));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * @param {Record<string, unknown>} object
 * @returns {ActivityEvent}
 */
export function toEvent(object) {
  return {
    id: text(object.id, 64),
    board: text(object.board, 256),
    action: text(object.action, NAME_MAX),
    user: text(object.user, NAME_MAX) || 'anonymous',
    payload: isObject(object.payload) ? object.payload : {},
    timestamp: text(object.timestamp, 40),
    present: typeof object.active_connections === 'number' ? object.active_connections : 0,
    cursor: text(object.cursor, 512),
  };
}

/**
 * One line that says what an event is about.
 * @param {ActivityEvent} event
 */
export function summaryOf(event) {
  const { title, column, message } = event.payload;
  const parts = [text(title, TITLE_MAX) || text(message, TITLE_MAX), text(column, NAME_MAX)];
  return parts.filter((part) => part !== '').join(' → ');
}

export class BoardState {
  constructor() {
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** @type {Set<string>} */
    this.seen = new Set();
  }

  /**
   * Takes an event in; tells what changed, or null.
   * @param {ActivityEvent} event
   * @returns {Change}
   */
  apply(event) {
    if (event.id !== '') {
      if (this.seen.has(event.id)) {
        return null;
      }
      this.remember(event.id);
    }
    if (event.action === 'card.created' || event.action === 'card.moved') {
      return this.applyCard(event);
    }
    if (event.action === 'chat.message') {
      const line = text(event.payload.message, TEXT_MAX);
      return line === '' ? null : { chat: { user: event.user, text: line, time: event.timestamp } };
    }
    return null;
  }

  /**
   * A move of a card that nobody here has seen creates it: it carries its title for that.
   * @param {ActivityEvent} event
   * @returns {Change}
   */
  applyCard(event) {
    const { card_id: id, title, column } = event.payload;
    if (typeof id !== 'string' || id === '' || id.length > 64) {
      return null;
    }
    const known = this.cards.get(id);
    const place = COLUMNS.find((one) => one === column) ?? known?.column ?? 'backlog';
    const card = { id, title: known?.title ?? (text(title, TITLE_MAX) || id), column: place, user: known?.user ?? event.user };
    this.cards.set(id, card);
    if (this.cards.size <= CARDS_MAX) {
      return { card };
    }
    const dropped = /** @type {string} */ (this.cards.keys().next().value);
    this.cards.delete(dropped);
    return { card, dropped };
  }

  /** @param {string} id */
  remember(id) {
    this.seen.add(id);
    if (this.seen.size > SEEN_MAX) {
      this.seen.delete(/** @type {string} */ (this.seen.values().next().value));
    }
  }
}
