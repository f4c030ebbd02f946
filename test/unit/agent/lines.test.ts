import { expect, test } from 'vitest';
import { linesOf } from '../../../agent/lines.ts';

async function* chunksOf(...chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

async function read(chunks: readonly string[], longest = 10): Promise<(string | undefined)[]> {
  const lines: (string | undefined)[] = [];
  for await (const { number, text } of linesOf(chunksOf(...chunks), longest)) {
    lines.push(text);
    expect(number).toBe(lines.length);
  }
  return lines;
}

test.each<{ name: string; given: string[]; want: (string | undefined)[] }>([
  { name: 'nothing', given: [], want: [] },
  { name: 'lines in one piece', given: ['one\n\ntwo\n'], want: ['one', '', 'two'] },
  { name: 'a last line without an end', given: ['one\ntw', 'o'], want: ['one', 'two'] },
  { name: 'an end between two pieces', given: ['one', '\n', 'two'], want: ['one', 'two'] },
  { name: 'just short enough', given: ['0123456789\n'], want: ['0123456789'] },
  {
    name: 'too long, in one piece and in many',
    given: ['0123456789A\nx\n01234', '56789', 'ABC\ny\n'],
    want: [undefined, 'x', undefined, 'y'],
  },
])('$name', async ({ given, want }) => {
  expect(await read(given)).toEqual(want);
});

test('a character may come in two pieces', async () => {
  async function* halves(): AsyncGenerator<Uint8Array> {
    const bytes = Buffer.from('ä');
    yield bytes.subarray(0, 1);
    yield bytes.subarray(1);
  }
  const lines: (string | undefined)[] = [];
  for await (const { text } of linesOf(halves(), 10)) lines.push(text);
  expect(lines).toEqual(['ä']);
});
