/** @module Time that no step of the wall clock moves: NTP sets it back by hours when a node boots. */

/** Milliseconds since 1970 as this process first had them, counted steadily since. */
export function steadyNowMs(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

/** What the wall clock says, or said, at a steady time: for people. */
export function wallTimeOf(steadyMs: number): number {
  return Date.now() - (steadyNowMs() - steadyMs);
}
