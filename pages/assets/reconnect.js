// @ts-check
// When to try again: the wait doubles up to a cap, and a random half of it keeps many pages from coming back at the same moment.
// SPDX-License-Identifier: Apache-2.0

/** A connection that lasted this long was a success; the next wait starts small again. */
const SETTLED_MS = 5000;

export class Reconnect {
  /**
   * @param {number} initialMs
   * @param {number} maxMs
   * @param {() => number} chance a random number in [0, 1)
   */
  constructor(initialMs, maxMs, chance = Math.random) {
    this.initialMs = initialMs;
    this.maxMs = maxMs;
    this.chance = chance;
    this.nextMs = initialMs;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /**
   * The wait before the next attempt, after a connection that lived `livedMs` (0: it never opened).
   * @param {number} livedMs
   */
  delay(livedMs) {
    if (livedMs >= SETTLED_MS) {
      this.nextMs = this.initialMs;
    }
    const full = Math.min(this.nextMs, this.maxMs);
    this.nextMs = Math.min(this.nextMs * 2, this.maxMs);
    return full - (full * this.chance()) / 2;
  }

  /**
   * @param {number} delayMs
   * @param {() => void} attempt
   */
  schedule(delayMs, attempt) {
    this.cancel();
    this.timer = setTimeout(attempt, delayMs);
  }

  cancel() {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** True while an attempt is planned. */
  get waiting() {
    return this.timer !== undefined;
  }
}
