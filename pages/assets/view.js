// @ts-check
// The page's elements. Texts from outside enter the document as text nodes only, never as markup.
// SPDX-License-Identifier: Apache-2.0

import { COLUMNS, summaryOf } from './board.js';

/** @typedef {import('./board.js').ActivityEvent} ActivityEvent */
/** @typedef {import('./board.js').Card} Card */
/** @typedef {import('./board.js').ChatLine} ChatLine */
/** @typedef {import('./board.js').Column} Column */
/** @typedef {import('./socket.js').LinkState} LinkState */

const CHAT_LINES_MAX = 200; // The oldest leaves.
const FEED_LINES_MAX = 100; // The oldest leaves.

/** @type {Record<LinkState, string>} */
const STATE_TEXTS = { off: 'not connected', connecting: 'connecting…', live: 'live', waiting: '', refused: '' };

/** @type {Record<Column, string>} */
const COLUMN_NAMES = { backlog: 'Backlog', doing: 'Doing', done: 'Done' };

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`the page has no ${type.name} #${id}`);
  }
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {string} textContent
 */
function make(tag, className, textContent = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = textContent;
  return node;
}

/** @param {string} timestamp */
function makeTime(timestamp) {
  const date = new Date(timestamp);
  const node = make('time', 'time', Number.isNaN(date.valueOf()) ? '' : date.toLocaleTimeString());
  node.dateTime = timestamp;
  return node;
}

/** @param {Column} column */
function listOf(column) {
  return /** @type {HTMLElement} */ (document.querySelector(`.column[data-column="${column}"] ul`));
}

export class BoardView {
  /** @param {(id: string, column: Column) => void} onMove the user wants this card there */
  constructor(onMove) {
    this.onMove = onMove;
    /** @type {Map<string, HTMLLIElement>} */
    this.cards = new Map();
    this.chat = element('chat-log', HTMLOListElement);
    this.feed = element('feed-log', HTMLOListElement);
    this.acceptDrops();
  }

  clear() {
    this.cards.clear();
    this.chat.replaceChildren();
    this.feed.replaceChildren();
    for (const column of COLUMNS) {
      listOf(column).replaceChildren();
    }
    this.count();
    this.showPresent(0);
    this.showProblem('');
  }

  /** @param {Card} card */
  showCard(card) {
    const old = this.cards.get(card.id);
    const focused = old?.contains(document.activeElement);
    const node = this.makeCard(card);
    this.cards.set(card.id, node);
    old?.remove();
    listOf(card.column).append(node);
    this.count();
    if (focused) {
      node.querySelector('button')?.focus(); // Who moves cards by keyboard stays on the card.
    }
  }

  /** @param {string} id */
  dropCard(id) {
    this.cards.get(id)?.remove();
    this.cards.delete(id);
    this.count();
  }

  /** @param {ChatLine} line */
  showChat(line) {
    const row = make('li', 'line');
    row.append(makeTime(line.time), make('b', 'user', line.user), make('span', 'text', line.text));
    this.appendRow(this.chat, row, CHAT_LINES_MAX);
  }

  /** @param {ActivityEvent[]} events oldest first */
  showActivities(events) {
    const rows = events.map((event) => {
      const row = make('li', 'line');
      row.append(
        makeTime(event.timestamp),
        make('span', 'board', event.board),
        make('code', 'action', event.action),
        make('b', 'user', event.user),
        make('span', 'text', summaryOf(event)),
      );
      return row;
    });
    this.feed.prepend(...rows.reverse());
    while (this.feed.childElementCount > FEED_LINES_MAX) {
      this.feed.lastElementChild?.remove();
    }
  }

  /** @param {string} notice */
  showGap(notice) {
    this.feed.prepend(make('li', 'line notice', notice));
  }

  /** @param {number} connections */
  showPresent(connections) {
    element('present', HTMLSpanElement).textContent =
      connections > 0 ? `${connections} ${connections === 1 ? 'connection' : 'connections'} to this board` : '';
  }

  /** @param {string} problem empty: none */
  showProblem(problem) {
    const node = element('problem', HTMLParagraphElement);
    node.hidden = problem === '';
    node.textContent = problem;
  }

  /**
   * @param {'socket' | 'stream'} link
   * @param {LinkState} state
   * @param {string} detail
   */
  showState(link, state, detail) {
    const node = element(`${link}-state`, HTMLSpanElement);
    node.dataset.state = state;
    node.textContent = `${link === 'socket' ? 'Board' : 'Activity'}: ${detail || STATE_TEXTS[state]}`;
    if (link === 'socket') {
      for (const form of ['add-card', 'say']) {
        const button = element(form, HTMLFormElement).querySelector('button');
        if (button) {
          button.disabled = state !== 'live';
        }
      }
    }
  }

  /** @param {Card} card */
  makeCard(card) {
    const node = make('li', 'card');
    node.draggable = true;
    node.addEventListener('dragstart', (drag) => drag.dataTransfer?.setData('text/plain', card.id));
    const buttons = make('span', 'moves');
    for (const column of COLUMNS.filter((one) => one !== card.column)) {
      const later = COLUMNS.indexOf(column) > COLUMNS.indexOf(card.column);
      const button = make('button', 'move', later ? `${COLUMN_NAMES[column]} →` : `← ${COLUMN_NAMES[column]}`);
      button.type = 'button';
      button.setAttribute('aria-label', `Move “${card.title}” to ${COLUMN_NAMES[column]}`);
      button.addEventListener('click', () => this.onMove(card.id, column));
      buttons.append(button);
    }
    node.append(make('span', 'text', card.title), make('span', 'by', card.user), buttons);
    return node;
  }

  /**
   * Adds at the end, and follows it unless the reader has scrolled back.
   * @param {HTMLElement} list
   * @param {HTMLElement} row
   * @param {number} most
   */
  appendRow(list, row, most) {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(row);
    while (list.childElementCount > most) {
      list.firstElementChild?.remove();
    }
    if (atEnd) {
      list.scrollTop = list.scrollHeight;
    }
  }

  count() {
    for (const column of COLUMNS) {
      const count = document.querySelector(`.column[data-column="${column}"] .count`);
      if (count) {
        count.textContent = String(listOf(column).childElementCount);
      }
    }
  }

  acceptDrops() {
    for (const column of COLUMNS) {
      const place = listOf(column).parentElement;
      place?.addEventListener('dragover', (drag) => drag.preventDefault());
      place?.addEventListener('drop', (drag) => {
        drag.preventDefault();
        const id = drag.dataTransfer?.getData('text/plain') ?? '';
        if (this.cards.has(id)) {
          this.onMove(id, column);
        }
      });
    }
  }
}
