/** @module Names of devices as catalogues write them. Pure. */

/** Whether a name is one of these, of which a trailing `*` matches any ending. */
export function matchesDevice(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  );
}
