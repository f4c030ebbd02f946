/** @module One epoll descriptor for all sockets, awaited in another thread, and an eventfd to wake it. */
import { EPOLLIN, epollDataOffset, epollEventBytes, type Libc, type NativeMemory } from './libc.ts';

/** Called with the events that are pending on a descriptor. */
export type Ready = (events: number) => void;

const maximumEvents = 128;
/** Wake-ups closer than this are thick; after so many of them in a row the reactor rests in between. */
const thickMs = 12;
const thickWakeups = 16;
const restMs = 8;
const wakeToken = 0;

/** Tells owners of descriptors when there is something to read. */
export class Reactor implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #epoll: number;
  readonly #wake: number;
  readonly #events: NativeMemory;
  readonly #polled: NativeMemory;
  /**
   * By token, and not by descriptor: events that were fetched before a socket was closed may come to be handled when another one has
   * its number, and an old one's "connected" would be taken for the new one's.
   */
  readonly #handlers = new Map<number, Ready>();
  readonly #tokens = new Map<number, number>();
  #lastToken = wakeToken;
  #closing = false;
  #dispatching = false;
  #waiting: Promise<void> | undefined;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#epoll = libc.epollCreate();
    this.#wake = libc.eventfd();
    // Two buffers: the one that the other thread waits with is never touched meanwhile.
    this.#events = libc.allocate(maximumEvents * epollEventBytes);
    this.#polled = libc.allocate(maximumEvents * epollEventBytes);
    libc.epollAdd(this.#epoll, this.#wake, EPOLLIN, wakeToken);
  }

  /** Watches a descriptor until it is removed. The first one starts the waiting thread. */
  add(fd: number, events: number, ready: Ready): void {
    const token = this.#newToken();
    this.#handlers.set(token, ready);
    this.#tokens.set(fd, token);
    this.#libc.epollAdd(this.#epoll, fd, events, token);
    this.#waiting ??= this.#loop();
  }

  /** Forgets a descriptor; call it before closing one. */
  remove(fd: number): void {
    const token = this.#tokens.get(fd);
    if (token === undefined) return;
    this.#tokens.delete(fd);
    this.#handlers.delete(token);
    this.#libc.epollRemove(this.#epoll, fd);
  }

  /** Handles at once what already lies in the sockets; after a stall this is what tells late from lost. */
  drain(): void {
    // Handlers read into one shared buffer: none may start while another is at it.
    if (this.#dispatching) return;
    for (let round = 0; round < 16; round++) {
      const ready = this.#libc.epollPoll(this.#epoll, this.#polled.address, maximumEvents);
      if (ready <= 0) return;
      this.#dispatch(this.#polled.bytes, ready);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#libc.wake(this.#wake);
    await this.#waiting;
    this.#libc.close(this.#wake);
    this.#libc.close(this.#epoll);
    this.#libc.free(this.#events);
    this.#libc.free(this.#polled);
  }

  /**
   * Waits, handles, waits again. When wake-ups come thick it rests between them, so that one wake-up serves several
   * messages; receive times are the kernel's, so resting blurs no measurement.
   */
  async #loop(): Promise<void> {
    let restless = 0;
    while (!this.#closing) {
      const waitedFrom = performance.now();
      const ready = await new Promise<number>((resolve) => {
        this.#libc.epollWait(this.#epoll, this.#events.address, maximumEvents, resolve);
      });
      if (this.#closing) return;
      if (ready > 0) this.#dispatch(this.#events.bytes, ready);
      restless = performance.now() - waitedFrom < thickMs ? restless + 1 : 0;
      if (restless >= thickWakeups) await this.#rest();
    }
  }

  #newToken(): number {
    do {
      this.#lastToken = (this.#lastToken + 1) >>> 0;
    } while (this.#lastToken === wakeToken || this.#handlers.has(this.#lastToken));
    return this.#lastToken;
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(resolve, restMs);
    });
  }

  #dispatch(bytes: Buffer, ready: number): void {
    this.#dispatching = true;
    try {
      for (let index = 0; index < ready; index++) {
        const at = index * epollEventBytes;
        const token = bytes.readUInt32LE(at + epollDataOffset);
        if (token !== wakeToken) this.#handlers.get(token)?.(bytes.readUInt32LE(at));
        else if (!this.#closing) this.#libc.unwake(this.#wake);
      }
    } finally {
      this.#dispatching = false;
    }
  }
}
