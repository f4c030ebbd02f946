/** @module Keeps what is known of the firewall's rules true between the rounds: changes that the kernel tells, and a look now and then. */
import type { Logger } from 'pino';
import type { FirewallView } from '../checks/host/firewall.ts';
import type { Host } from '../checks/host/host.ts';
import { pause } from '../checks/time.ts';
import { createReviews } from './firewall-reviews.ts';
import { type ChangeMaker, type FirewallWatchOptions, watchFirewall } from './firewall-watch.ts';
import type { WipeAlarm } from './wipe-alarm.ts';

/** Legacy iptables and ipset tell no changes, and a host may have no nf_tables to watch: so often the rules are looked at. */
const lookAgainMs = 30_000;

export interface FirewallGuardOptions {
  readonly node: { readonly host: Pick<Host, 'firewall'> };
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  readonly alarm: WipeAlarm;
  /** Asks the rules anew about everything that was asked before; they have just been read. */
  readonly review: (signal: AbortSignal) => Promise<void>;
  readonly onChange: (maker: ChangeMaker | undefined) => void;
  /** How changes are watched; the kernel's own when absent. */
  readonly watch?: FirewallWatchOptions['open'];
}

export interface FirewallGuard extends AsyncDisposable {
  start(): void;
}

export function createFirewallGuard(options: FirewallGuardOptions): FirewallGuard {
  const { node, log, alarm } = options;
  const ending = new AbortController();
  const { signal } = ending;
  /** What was looked at last for vanished rules; a round may have read the rules since. */
  let looked: FirewallView | undefined;
  /** How many wipes there were to be told of then. */
  let said: number | undefined;

  /** Reads the rules, and says in the log what vanished from them. */
  async function read(): Promise<void> {
    const reading = await node.host.firewall();
    if (!reading.readable) return;
    looked = reading.view;
    const { wiped, over } = alarm.look(reading.view.ruleset);
    said = alarm.open()?.length;
    for (const { owner, place, what, lost, process, mayBeOwn } of wiped) {
      const facts = { owner, place, what, lost, process };
      if (mayBeOwn)
        log.info(facts, 'firewall rules of a provider are gone, maybe by its own doing');
      else log.warn(facts, 'firewall rules of a provider were wiped');
    }
    for (const { owner, place } of over) {
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
      // What is new is looked at in the review: by then the kernel has told who made it.
      const reading = await node.host.firewall();
      const isNew = reading.readable && reading.view !== looked;
      if (isNew || alarm.open()?.length !== said) reviews.changed();
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
        ...(options.watch === undefined ? {} : { open: options.watch }),
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
