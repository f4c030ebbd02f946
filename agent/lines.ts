/** @module The lines of a stream that may hold anything: a line that is too long is counted and not kept. */

/** One line without its end; without text where it was too long. */
export interface Line {
  readonly number: number;
  readonly text: string | undefined;
}

/** Splits bytes at line feeds. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array | string>,
  longestBytes: number,
): AsyncGenerator<Line> {
  let kept: Uint8Array[] = [];
  let length = 0;
  let number = 0;
  const take = (bytes: Uint8Array): void => {
    length += bytes.length;
    if (length <= longestBytes) kept.push(Uint8Array.from(bytes));
    else kept = [];
  };
  const finish = (): Line => {
    const text = length > longestBytes ? undefined : Buffer.concat(kept).toString('utf8');
    kept = [];
    length = 0;
    number++;
    return { number, text };
  };
  for await (const chunk of chunks) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      take(bytes.subarray(start, end));
      start = end + 1;
      yield finish();
    }
    take(bytes.subarray(start));
  }
  if (length > 0) yield finish();
}
