/** @module Did-you-mean for words that people type. Pure. */
import { closest, distance } from 'fastest-levenshtein';

/** Answers the valid word that was most likely meant, or undefined where none is near. */
export function suggest(word: string, valid: readonly string[]): string | undefined {
  if (valid.length === 0) return undefined;
  const typed = word.toLowerCase();
  const lowered = new Map(valid.map((candidate) => [candidate.toLowerCase(), candidate]));
  const nearest = closest(typed, [...lowered.keys()]);
  // A third of the letters may be wrong: `cillium` is cilium, `kubenet` is nothing that is known here.
  const tolerated = Math.max(1, Math.floor(Math.max(typed.length, nearest.length) / 3));
  return distance(typed, nearest) <= tolerated ? lowered.get(nearest) : undefined;
}

/** Says in one sentence that a word is not known, what it may have meant, and what would be valid. */
export function unknownWord(problem: {
  readonly what: string;
  readonly word: string;
  readonly valid: readonly string[];
}): string {
  const { what, word, valid } = problem;
  const meant = suggest(word, valid);
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  const list = valid.length === 0 ? 'there is none' : `valid: ${valid.join(', ')}`;
  return `unknown ${what} ${JSON.stringify(word)}${hint} (${list})`;
}
