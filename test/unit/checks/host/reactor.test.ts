import { expect, test } from 'vitest';
import {
  EPOLLIN,
  EPOLLOUT,
  epollDataOffset,
  epollEventBytes,
  type Libc,
} from '../../../../checks/host/libc.ts';
import { Reactor } from '../../../../checks/host/reactor.ts';

const wakeFd = 3;

/** A kernel that hands out the events that a test has prepared; only what a reactor calls. */
function fakeLibc() {
  const memory = new Map<number, Buffer>();
  const tokens = new Map<number, number>();
  let waiting: ((ready: number) => void) | undefined;
  let buffer: Buffer | undefined;
  const libc = {
    epollCreate: () => 4,
    eventfd: () => wakeFd,
    allocate: (bytes: number) => {
      const address = memory.size + 1;
      const block = { address: BigInt(address), bytes: Buffer.alloc(bytes) };
      memory.set(address, block.bytes);
      return block;
    },
    epollAdd: (_epoll: number, fd: number, _events: number, token: number) => {
      tokens.set(fd, token);
    },
    epollRemove: (_epoll: number, fd: number) => {
      tokens.delete(fd);
    },
    epollWait: (
      _epoll: number,
      address: bigint,
      _maximum: number,
      resolve: (ready: number) => void,
    ) => {
      buffer = memory.get(Number(address));
      waiting = resolve;
    },
    epollPoll: () => 0,
    wake: () => waiting?.(0),
    unwake: () => undefined,
    close: () => undefined,
    free: () => undefined,
  };
  return {
    libc: libc as unknown as Libc,
    /** What the waiting thread has fetched; it is handled when `deliver` is called. */
    fetch(fd: number, events: number): void {
      buffer?.writeUInt32LE(events, 0);
      buffer?.writeUInt32LE(tokens.get(fd) ?? 0, epollDataOffset);
      expect(buffer?.length).toBeGreaterThanOrEqual(epollEventBytes);
    },
    async deliver(): Promise<void> {
      waiting?.(1);
      await Promise.resolve();
    },
  };
}

test('an event of a closed descriptor is not given to the next one of that number', async () => {
  const kernel = fakeLibc();
  await using reactor = new Reactor(kernel.libc);
  const heard: string[] = [];
  reactor.add(7, EPOLLOUT, () => heard.push('old'));
  kernel.fetch(7, EPOLLOUT);
  reactor.remove(7);
  reactor.add(7, EPOLLOUT, () => heard.push('new'));
  await kernel.deliver();
  expect(heard).toEqual([]);

  kernel.fetch(7, EPOLLIN);
  await kernel.deliver();
  expect(heard).toEqual(['new']);
});
