/** @module Changes of nf_tables, told by the kernel as they happen. */
import { constants } from 'node:os';
import { type Change, decodeChange } from './decode/changes.ts';
import { decodeMessages } from './decode/messages.ts';
import { errorFromErrno, KernelError } from './errors.ts';
import { createWaiter, lastError, setOption, type Waiter } from './libc.ts';
import { Receiver } from './netlink.ts';
import { hasNftables, type ReadOptions } from './read.ts';

// linux/netlink.h, linux/netfilter/nfnetlink.h, linux/socket.h
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NFNLGRP_NFTABLES = 7;
const MSG_DONTWAIT = 0x40;

/** More than fit into any buffer. */
const maximumDrained = 1 << 20;

export interface WatchOptions extends ReadOptions {
  /** Ends the watch. */
  readonly signal?: AbortSignal;
  /** What the kernel may keep for a reader who is slow, 8 MiB by default; more than net.core.rmem_max needs CAP_NET_ADMIN. */
  readonly bufferBytes?: number;
}

/**
 * Watches nf_tables. What happens after the promise is fulfilled is told: to have a picture that stays right, watch first and read
 * then. Rejects with KernelError: EPERM without CAP_NET_ADMIN, ENOENT where nf_tables is not there.
 *
 * Waiting takes one thread of Node's pool (UV_THREADPOOL_SIZE, 4 by default), and keeps the process alive until the watch is closed.
 */
export async function watchRuleset(options: WatchOptions = {}): Promise<RulesetWatch> {
  if (!(await hasNftables(options))) throw new KernelError('ENOENT', 'nf_tables is not there');
  return new RulesetWatch(options);
}

/** The changes, one by one: `for await (const change of watch)`, by one reader. Ends when it is closed. */
export class RulesetWatch implements AsyncIterableIterator<Change, undefined>, AsyncDisposable {
  readonly #receiver: Receiver;
  readonly #waiter: Waiter;
  readonly #signal: AbortSignal | undefined;
  readonly #close = (): void => {
    if (this.#closing) return;
    this.#closing = true;
    this.#signal?.removeEventListener('abort', this.#close);
    if (this.#reading === undefined) this.#release();
    else this.#waiter.wake();
  };
  #pending: Change[] = [];
  #next = 0;
  #reading: Promise<unknown> | undefined;
  #closing = false;

  /** @internal `watchRuleset` makes them. */
  constructor({ signal, bufferBytes = 8 << 20 }: WatchOptions) {
    this.#receiver = new Receiver(bufferBytes);
    const group = new Uint8Array(new Int32Array([NFNLGRP_NFTABLES]).buffer);
    const { fd } = this.#receiver;
    if (setOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group, group.length) < 0) {
      const error = lastError('watching nf_tables');
      this.#receiver[Symbol.dispose]();
      throw error;
    }
    this.#waiter = createWaiter(fd);
    this.#signal = signal;
    signal?.addEventListener('abort', this.#close);
    if (signal?.aborted === true) this.#close();
  }

  /** The watch itself: it can be walked over once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next change, as soon as there is one. Rejects with KernelError; done when the watch is closed. */
  async next(): Promise<IteratorResult<Change, undefined>> {
    while (!this.#closing) {
      const change = this.#pending[this.#next];
      if (change !== undefined) {
        this.#next++;
        return { done: false, value: change };
      }
      this.#pending = [];
      this.#next = 0;
      await this.#fill();
    }
    return { done: true, value: undefined };
  }

  /** Closes the watch, as `break` in a loop over it does. */
  async return(): Promise<IteratorResult<Change, undefined>> {
    await this[Symbol.asyncDispose]();
    return { done: true, value: undefined };
  }

  /** Closes the watch, and waits until the thread that it took is free again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await this.#reading;
  }

  /** Takes what lies in the socket, or waits until something does. */
  async #fill(): Promise<void> {
    const received = this.#receiver.receive(MSG_DONTWAIT);
    if (!('errno' in received)) {
      for (const message of decodeMessages(received)) {
        const change = decodeChange(message);
        if (change !== undefined) this.#pending.push(change);
      }
      return;
    }
    if (received.errno === constants.errno.ENOBUFS) {
      this.#drain();
      this.#pending.push({ kind: 'lost' });
      return;
    }
    if (received.errno !== constants.errno.EAGAIN) {
      throw errorFromErrno(received.errno, 'watching nf_tables');
    }
    this.#reading = this.#waiter.wait();
    await this.#reading;
    this.#reading = undefined;
    if (this.#closing) this.#release();
  }

  /**
   * Forgets what came before the loss. Until its queue is empty, the kernel drops what does not fit without saying so again: who reads anew
   * when he hears of the loss must hear of what comes then.
   */
  #drain(): void {
    for (let count = 0; count < maximumDrained; count++) {
      const received = this.#receiver.receive(MSG_DONTWAIT);
      if ('errno' in received && received.errno !== constants.errno.ENOBUFS) return;
    }
  }

  #release(): void {
    this.#waiter[Symbol.dispose]();
    this.#receiver[Symbol.dispose]();
  }
}
