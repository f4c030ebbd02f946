/** @module Listens for changes of the firewall's rules, for as long as the agent runs. */
import { type Change, KernelError, watchRuleset } from 'node-nftables';
import { pause } from '../checks/time.ts';

/** Who made a change of the rules, as the kernel tells it: `nft`, `iptables`, `firewalld` … */
export interface ChangeMaker {
  readonly pid: number;
  readonly name: string;
}

export interface FirewallWatchOptions {
  readonly signal: AbortSignal;
  /** A transaction has ended. */
  readonly onChange: (maker: ChangeMaker | undefined) => void;
  /** More happened than the kernel could tell, or nobody listened for a while: anything may have changed. */
  readonly onLost: () => void;
  readonly onProblem: (error: unknown) => void;
  /** How changes are watched; the kernel's own when absent. */
  readonly open?: (signal: AbortSignal) => Promise<AsyncIterable<Change>>;
}

/** Where there is no nf_tables yet, or the watch broke, it is tried again after so long. */
const retryMs = 30_000;

/** Runs until the signal aborts; ends at once where watching is not permitted. */
export async function watchFirewall(options: FirewallWatchOptions): Promise<void> {
  const { signal, onChange, onLost, onProblem } = options;
  const open = options.open ?? (async (ending) => await watchRuleset({ signal: ending }));
  let isFirst = true;
  while (!signal.aborted) {
    try {
      const changes = await open(signal);
      if (!isFirst) onLost();
      for await (const change of changes) {
        if (change.kind === 'generation') onChange(change.process);
        else if (change.kind === 'lost') onLost();
      }
    } catch (error) {
      const code = error instanceof KernelError ? error.code : '';
      if (code === 'EPERM' || code === 'EACCES') return;
      // A host that never had a rule of nf_tables is no problem.
      if (code !== 'ENOENT') onProblem(error);
    }
    isFirst = false;
    await pause(retryMs, signal);
  }
}
