/** @module Types what a finding says is to be typed, on the node that it says, without a shell. */
import type { Finding } from '../../agent/model.ts';
import type { World } from './world.ts';

/** Runs every command of a finding's remedy, in order; returns them. Throws when one does not exit 0. */
export async function applyRemedy(world: World, { remedy }: Finding): Promise<readonly string[]> {
  const typed: string[] = [];
  for (const { on, commands } of remedy ?? []) {
    for (const line of commands) {
      await world.type(on, wordsOf(line));
      typed.push(`${on}: ${line}`);
    }
  }
  return typed;
}

/** Splits a command line as a shell would, with quotes and backslashes; it knows no variables, pipes and globs. */
export function wordsOf(line: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const letter = line.charAt(at);
    if (quote === '' && /\s/.test(letter)) {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
      continue;
    }
    inWord = true;
    if (letter === '\\' && quote !== "'") word += line.charAt(++at);
    else if (quote === '' && (letter === '"' || letter === "'")) quote = letter;
    else if (letter === quote) quote = '';
    else word += letter;
  }
  if (quote !== '') throw new Error(`a quote is open: ${line}`);
  if (inWord) words.push(word);
  return words;
}
