/** @module Plain text that fits a terminal: wrapped lines and tables. Pure. */

/** Breaks text at blanks so that no line is longer than `width`, as far as its words allow. */
export function wrap(
  text: string,
  how: { readonly width: number; readonly indent?: string; readonly first?: string },
): string[] {
  const { width, indent = '', first = indent } = how;
  const lines: string[] = [];
  let line = first;
  let empty = true;
  // Two blanks stay two: they set columns apart.
  for (const word of text
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ')
    .split(' ')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line.trimEnd());
      line = indent;
      empty = true;
    }
    if (empty && word === '') continue;
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return lines;
}

/** Puts cells under one another, with a rule below the header. */
export function renderTable(table: {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}): string {
  const all = [table.header, ...table.rows];
  const widths = table.header.map((_, column) =>
    Math.max(...all.map((row) => (row[column] ?? '').length)),
  );
  const lineOf = (cells: readonly string[]): string =>
    widths
      .map((width, column) => (cells[column] ?? '').padEnd(width))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [lineOf(table.header), rule, ...table.rows.map(lineOf)].join('\n');
}
