/** @module Reads a YAML file with the lines of what is in it. */
import type { Document, LineCounter } from 'yaml';
import type { Path } from '../rules/validate.ts';
import { loadYaml } from '../rules/yaml.ts';
import { readText } from './config-file.ts';
import type { ConfigurationProblem } from './configuration-error.ts';

export interface ReadYaml {
  readonly value: unknown;
  /** The line of a value, or of what it is missing in. */
  lineOf(path: Path): number | undefined;
}

/** Reads a file, or says what is wrong with it; `namedBy` is the setting that names it. */
export function readYaml(
  file: string,
  namedBy: string,
  problems: ConfigurationProblem[],
): ReadYaml | undefined {
  const text = readText(file);
  if (typeof text !== 'string') {
    problems.push({ path: namedBy, message: `${file} cannot be read (${text.reason})` });
    return undefined;
  }
  const { isMap, isNode, isScalar, isSeq, LineCounter } = loadYaml();
  const lines = new LineCounter();
  const document = parseSafely(text, lines);
  if (document === undefined) {
    problems.push({ file, path: '', message: 'is nested too deep' });
    return undefined;
  }
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      const { line } = lines.linePos(error.pos[0]);
      problems.push({ file, line, path: '', message: `not YAML: ${error.message}` });
    }
    return undefined;
  }
  const lineOf = (path: Path): number | undefined => {
    let node: unknown = document.contents;
    let start: number | undefined;
    // A missing field has no node of its own: its parent's line is the nearest.
    for (const step of path) {
      const pair = isMap(node)
        ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
        : undefined;
      const key = isScalar(pair?.key) ? pair.key : undefined;
      node = isSeq(node) ? node.items[Number(step)] : pair?.value;
      const at = key ?? (isNode(node) ? node : undefined);
      if (at === undefined) break;
      start = at.range?.[0] ?? start;
    }
    return start === undefined ? undefined : lines.linePos(start).line;
  };
  try {
    return { value: document.toJS(), lineOf };
  } catch (error) {
    // Aliases that multiply are refused by the library.
    problems.push({ file, path: '', message: `not usable: ${String(error)}` });
    return undefined;
  }
}

/** A file of a million opening brackets is nested deeper than the parser's stack. */
function parseSafely(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    return loadYaml().parseDocument(text, { lineCounter, prettyErrors: false });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
