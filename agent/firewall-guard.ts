/** @module Keeps what is known of the firewall's rules true between the rounds: changes that the kernel tells, and a look now and then. */
import type { Logger } from 'pino';
import { pause } from '../checks/time.ts';
import { createReviews } from './firewall-reviews.ts';
import { type ChangeMaker, watchFirewall } from './firewall-watch.ts';
import type { Node } from './node.ts';
import { createWipeAlarm } from './wipe-alarm.ts';

/** Legacy iptables and ipset tell no changes, and a host may have no nf_tables to watch: so often the rules are looked at. */
const lookAgainMs = 30_000;

export interface FirewallGuardOptions {
  readonly node: Pick<Node, 'host' | 'firewallView'>;
  readonly log: Pick<Logger, 'debug' | 'warn' | 'error'>;
  /** Asks the rules anew about everything that was asked before; they have just been read. */
  readonly review: (signal: AbortSignal) => Promise<void>;
  readonly onChange: (maker: ChangeMaker | undefined) => void;
}

export interface FirewallGuard extends AsyncDisposable {
  start(): void;
}

export function createFirewallGuard(options: FirewallGuardOptions): FirewallGuard {
  const { node, log } = options;
  const ending = new AbortController();
  const { signal } = ending;
  const alarm = createWipeAlarm();

  /** Reads the rules, and says in the log what vanished from them. */
  async function read(): Promise<void> {
    const reading = await node.host.firewall();
    if (!reading.readable) return;
    const { wiped, restored } = alarm.look(reading.view.ruleset);
    for (const { owner, place, what, lost, process } of wiped) {
      log.warn({ owner, place, what, lost, process }, 'firewall rules of a provider were wiped');
    }
    for (const { owner, place } of restored) {
      log.warn({ owner, place }, 'firewall rules of a provider are there again');
    }
  }

  const reviews = createReviews({
    review: async (stopping) => {
      await read();
      await options.review(stopping);
    },
    signal,
    now: () => performance.now(),
    onError: (error) => {
      log.error({ err: error }, 'the rules of the firewall were not reviewed');
    },
  });
  let watches: Promise<unknown> = Promise.resolve();

  async function lookAgain(): Promise<void> {
    for (;;) {
      await pause(lookAgainMs, signal);
      if (signal.aborted) return;
      const before = node.firewallView();
      await read();
      if (node.firewallView() !== before) reviews.changed();
    }
  }

  return {
    start() {
      const onProblem = (error: unknown): void => {
        const reason = error instanceof Error ? error.message : String(error);
        log.warn({ reason }, 'changes of the firewall are not watched');
      };
      const watch = watchFirewall({
        signal,
        onChange: (maker) => {
          log.debug({ process: maker?.name, pid: maker?.pid }, 'firewall rules changed');
          options.onChange(maker);
          alarm.changed(maker);
          reviews.changed();
        },
        onLost: () => {
          reviews.changed();
        },
        onProblem,
      });
      // What vanishes later is missed only if it was seen before.
      watches = Promise.all([watch, read(), lookAgain()]).catch(onProblem);
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await Promise.all([reviews[Symbol.asyncDispose](), watches]);
    },
  };
}
