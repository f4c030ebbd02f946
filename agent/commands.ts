/** @module What the command line calls: the two commands that do the work. */
import type { LoadedConfiguration } from './config.ts';
import type { StatusDocument } from './model.ts';

/** How far a check has come, for a person who waits. */
export interface Progress {
  /** What is being done, e.g. `testing the way to 3 peers`. */
  readonly doing: string;
  readonly done?: number;
  readonly of?: number;
}

export interface CheckRun {
  readonly progress: (progress: Progress) => void;
  /** Aborts at SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface AgentRun {
  /** Aborts at SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Settles the configuration anew, from the same flags and environment; throws `ConfigurationError`. */
  readonly reload: () => LoadedConfiguration;
}

/** The commands, so that the command line can be tested without them. */
export interface Commands {
  readonly check: (loaded: LoadedConfiguration, run: CheckRun) => Promise<StatusDocument>;
  /** Runs until its signal aborts; resolves to the exit code. */
  readonly agent: (loaded: LoadedConfiguration, run: AgentRun) => Promise<number>;
}
