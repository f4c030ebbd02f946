/** @module What is wrong with a configuration, all of it at once. Pure. */

/** One thing that is wrong: in which file and line, or of which flag or variable. */
export interface ConfigurationProblem {
  readonly file?: string;
  readonly line?: number;
  /** `--timeout`, `CNI_PREFLIGHT_TIMEOUT`, or a path inside the file such as `peers.2.address`. */
  readonly path: string;
  readonly message: string;
}

/** The configuration cannot be used; every problem is listed. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly code = 'CONFIG_INVALID';
  readonly problems: readonly ConfigurationProblem[];

  constructor(problems: readonly ConfigurationProblem[], options?: ErrorOptions) {
    super(
      problems.length === 1
        ? problems.map(problemText).join('')
        : `${problems.length} problems in the configuration:\n${problems.map((problem) => `  ${problemText(problem)}`).join('\n')}`,
      options,
    );
    this.problems = problems;
  }
}

/** Says one problem as `file:line: path: message`, with what is known of the place. */
export function problemText({ file, line, path, message }: ConfigurationProblem): string {
  const place = file === undefined ? undefined : line === undefined ? file : `${file}:${line}`;
  return [place, path === '' ? undefined : path, message]
    .filter((part) => part !== undefined)
    .join(': ');
}
