import { describe, expect, test } from 'vitest';
import { suggest, unknownWord } from '../../../rules/suggest.ts';

describe('suggest', () => {
  test.each([
    { word: 'cillium', want: 'cilium' },
    { word: 'CALICO', want: 'calico' },
    { word: 'canel', want: 'canal' },
    { word: 'kubenet', want: undefined },
    { word: '', want: undefined },
    { word: 'constructor', want: undefined },
  ])('$word', ({ word, want }) => {
    expect(suggest(word, ['calico', 'canal', 'cilium', 'flannel', 'weave'])).toBe(want);
  });

  test('nothing can be suggested where nothing is valid', () => {
    expect(suggest('canal', [])).toBeUndefined();
    expect(unknownWord({ what: 'provider', word: 'canal', valid: [] })).toBe(
      'unknown provider "canal" (there is none)',
    );
  });

  test('the sentence shows control characters instead of printing them', () => {
    expect(unknownWord({ what: 'provider', word: 'a\u001b[31m\n', valid: ['canal'] })).toBe(
      'unknown provider "a\\u001b[31m\\n" (valid: canal)',
    );
  });
});
