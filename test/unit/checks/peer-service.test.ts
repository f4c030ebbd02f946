import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Answer } from '../../../checks/check.ts';
import { HostError } from '../../../checks/host/host.ts';
import type { Witness } from '../../../checks/host/witness.ts';
import { readFacts, readHeard, readVerdicts } from '../../../checks/peer-protocol.ts';
import {
  createPeerService,
  type PeerServiceOptions,
  type Refusal,
} from '../../../checks/peer-service.ts';
import { writeBody } from '../../../checks/peer-wire.ts';
import { peerAddress, someFacts } from '../../support/fake-network.ts';

const peer: string = peerAddress.ipv4;
const stranger = '203.0.113.9';
const wish = {
  id: 'canal.vxlan',
  kind: 'udp-port',
  mustReach: true,
  params: { port: 8472, payload: 'vxlan' },
} as const;
const passed: Answer = { outcome: 'pass', evidence: { sent: 1 } };

type FakeWitness = Pick<
  Witness,
  'openSeconds' | 'overloadedSeconds' | 'heard' | 'watch' | 'sighting'
>;

/** A service whose witness and probes are data, and that remembers what it asked of them. */
function service(
  change: Partial<Omit<PeerServiceOptions, 'witness'>> & { witness?: Partial<FakeWitness> } = {},
) {
  const asked: unknown[] = [];
  const { witness, ...options } = change;
  const fake: FakeWitness = {
    openSeconds: () => 12.5,
    overloadedSeconds: () => undefined,
    heard: async (address, nonces) => {
      asked.push(['heard', address, nonces]);
      return nonces.map((nonce) => nonce === 255n);
    },
    watch: (asker, what, established) => {
      asked.push(['watch', asker.address, what.protocol, established]);
      return '7';
    },
    sighting: (asker, id) => {
      asked.push(['sighting', asker, id]);
      return id === '7' ? { seen: 2 } : undefined;
    },
    ...witness,
  };
  const made = createPeerService({
    witness: fake as Witness,
    facts: (family) => someFacts({ witness: family === 'ipv4' }),
    isPeer: (address) => address === peer,
    signed: false,
    established: async (flow) => {
      asked.push(['established', flow]);
      return false;
    },
    ownAddress: (family) => (family === 'ipv4' ? '192.0.2.1' : undefined),
    lookOut: async () => {
      throw new Error('the test did not expect a look-out');
    },
    probe: async () => passed,
    ...options,
  });
  const result = async (body: unknown, address = peer, family: 'ipv4' | 'ipv6' = 'ipv4') =>
    await made.answer({
      address,
      destination: '192.0.2.1',
      family,
      session: '',
      body: writeBody(body),
    });
  const answer = async (...given: Parameters<typeof result>): Promise<Uint8Array | undefined> => {
    const body = await result(...given);
    return typeof body === 'string' ? undefined : body;
  };
  const confirm = async (requirements: readonly object[] = [wish], maximumAgeSeconds = 30) => {
    const body = await answer({ op: 'confirm', requirements, maximumAgeSeconds });
    return body === undefined ? undefined : readVerdicts(body);
  };
  return { made, asked, result, answer, confirm };
}

const settle = async (): Promise<void> => {
  await vi.advanceTimersByTimeAsync(0);
};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('what anybody may ask', () => {
  test('facts, of the family that the question came in', async () => {
    const { answer } = service();
    expect(readFacts((await answer({ op: 'facts' }, stranger)) ?? new Uint8Array())).toEqual(
      someFacts({ witness: true }),
    );
    const six = await answer({ op: 'facts' }, '2001:db8::9', 'ipv6');
    expect(readFacts(six ?? new Uint8Array())?.witness).toBe(false);
  });

  test('that its witness had no room a moment ago', async () => {
    const { answer } = service({ witness: { overloadedSeconds: () => 0.5 } });
    const body = await answer({ op: 'heard', nonces: ['00000000000000ff'] });
    expect(readHeard(body ?? new Uint8Array())).toEqual({
      witnessSeconds: 12.5,
      overloadedSeconds: 0.5,
      heard: [true],
    });
  });

  test('which of its own probes were heard, and since when there is a witness', async () => {
    const { answer, asked } = service();
    const nonces = ['00000000000000ff', '0000000000000001'];
    const body = await answer({ op: 'heard', nonces }, stranger);
    expect(readHeard(body ?? new Uint8Array())).toEqual({
      witnessSeconds: 12.5,
      heard: [true, false],
    });
    expect(asked).toEqual([['heard', stranger, [255n, 1n]]]);
  });

  test('what a watch of its own saw', async () => {
    const { answer, asked } = service();
    expect(await answer({ op: 'sighting', id: '7' }, stranger)).toEqual(writeBody({ seen: 2 }));
    expect(await answer({ op: 'sighting', id: '8' }, stranger)).toBeUndefined();
    expect(asked[0]).toEqual(['sighting', stranger, '7']);
  });

  test('nothing that is not a request', async () => {
    const { made } = service();
    for (const body of [new Uint8Array(0), writeBody({ op: 'run' }), Uint8Array.of(0xff)])
      expect(
        await made.answer({
          address: peer,
          destination: '192.0.2.1',
          family: 'ipv4',
          session: '',
          body,
        }),
      ).toBeUndefined();
  });
});

describe('what only a peer may ask, or whoever has the key', () => {
  const requests = [
    { op: 'watch', protocol: 'tcp', port: 179 },
    { op: 'watch', protocol: 4 },
    { op: 'confirm', requirements: [wish], maximumAgeSeconds: 30 },
  ];

  test.each(requests)('a stranger gets no answer to %j, and nothing happens', async (request) => {
    const probe = vi.fn(async () => passed);
    const { answer, asked } = service({ probe });
    expect(await answer(request, stranger)).toBeUndefined();
    await settle();
    expect(asked).toEqual([]);
    expect(probe).not.toHaveBeenCalled();
  });

  test.each(requests)('a peer gets one to %j', async (request) => {
    expect(await service().answer(request)).toBeDefined();
  });

  test.each(requests)('whoever has the key gets one to %j', async (request) => {
    expect(await service({ signed: true }).answer(request, stranger)).toBeDefined();
  });
});

describe('a watch', () => {
  test('is for packets of the asker, and looks into conntrack first', async () => {
    const { answer, asked } = service();
    expect(await answer({ op: 'watch', protocol: 50 })).toEqual(writeBody({ id: '7' }));
    expect(asked).toEqual([
      ['established', { protocol: 50, source: peer, destination: '192.0.2.1' }],
      ['watch', peer, 50, false],
    ]);
  });

  test('of TCP needs no conntrack', async () => {
    const { answer, asked } = service();
    await answer({ op: 'watch', protocol: 'tcp', port: 179 });
    expect(asked).toEqual([['watch', peer, 'tcp', undefined]]);
  });

  test('where there is no own address, does not claim to know conntrack', async () => {
    const { asked, made } = service({ isPeer: () => true });
    const body = writeBody({ op: 'watch', protocol: 50 });
    await made.answer({
      address: peerAddress.ipv6,
      destination: '2001:db8::1',
      family: 'ipv6',
      session: '',
      body,
    });
    expect(asked).toEqual([['watch', peerAddress.ipv6, 50, undefined]]);
  });

  test.each<{ name: string; watch: FakeWitness['watch']; want: Refusal }>([
    { name: 'too many are open', watch: () => undefined, want: 'busy' },
    {
      name: 'raw sockets may not be had',
      want: 'unable',
      watch: () => {
        throw new HostError('missing-net-raw', 'no');
      },
    },
  ])('is refused when $name: $want', async ({ watch, want }) => {
    const { result } = service({ witness: { watch } });
    expect(await result({ op: 'watch', protocol: 4 })).toBe(want);
  });
});

describe('a wish', () => {
  test('is pending first, then answered with its age', async () => {
    const { confirm } = service();
    expect(await confirm()).toEqual({ verdicts: [], pending: true });
    await vi.advanceTimersByTimeAsync(2500);
    expect(await confirm()).toEqual({
      verdicts: [{ id: 'canal.vxlan', ageSeconds: 2.5, answer: passed }],
      pending: false,
    });
  });

  test('is tested towards the asker, once, however often it is repeated meanwhile', async () => {
    const probe = vi.fn(
      async () =>
        await new Promise<Answer>((resolve) => {
          setTimeout(() => {
            resolve(passed);
          }, 8000);
        }),
    );
    const { confirm } = service({ probe });
    // The test takes longer than an answer may be old.
    for (let at = 0; at < 32; at++) {
      expect((await confirm([wish], 5))?.pending).toBe(true);
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(probe).toHaveBeenCalledTimes(1);
    expect(probe).toHaveBeenCalledWith(wish, { address: peer, family: 'ipv4' });
    expect(await confirm([wish], 5)).toMatchObject({ pending: false, verdicts: [{ id: wish.id }] });
  });

  test('is tested again when the answer is too old', async () => {
    const probe = vi.fn(async () => passed);
    const { confirm } = service({ probe });
    await confirm();
    await vi.advanceTimersByTimeAsync(30_001);
    expect(await confirm([wish], 60)).toMatchObject({ pending: false });
    expect(await confirm([wish], 30)).toEqual({ verdicts: [], pending: true });
    await settle();
    expect(probe).toHaveBeenCalledTimes(2);
    expect(await confirm([wish], 30)).toMatchObject({ verdicts: [{ ageSeconds: 0 }] });
  });

  test('of other params is another wish', async () => {
    const probe = vi.fn(async () => passed);
    const { confirm } = service({ probe });
    await confirm();
    await settle();
    const other = { ...wish, params: { ...wish.params, port: 4789 } };
    expect(await confirm([wish, other])).toMatchObject({
      verdicts: [{ id: wish.id }],
      pending: true,
    });
    expect(probe).toHaveBeenCalledTimes(2);
  });

  test('of another kind, or the other way round, is another wish', async () => {
    const probe = vi.fn(async () => passed);
    const { confirm } = service({ probe });
    const tcp = { id: 'a.b', kind: 'tcp-port', mustReach: true, params: { port: 9099 } };
    await confirm([tcp]);
    await settle();
    await confirm([{ ...tcp, mustReach: false }]);
    await confirm([{ ...tcp, kind: 'udp-port' }]);
    expect(probe).toHaveBeenCalledTimes(3);
  });

  test('that crashes is tested again at the next question', async () => {
    const probe = vi.fn(async () => passed).mockRejectedValueOnce(new Error('broken'));
    const { confirm } = service({ probe });
    await confirm();
    await settle();
    expect(await confirm()).toEqual({ verdicts: [], pending: true });
    await settle();
    expect(await confirm()).toMatchObject({ pending: false });
  });

  test('is answered from the own rounds, without a packet', async () => {
    const probe = vi.fn(async () => passed);
    const { made, confirm } = service({ probe });
    const failed: Answer = { outcome: 'fail', reason: 'dropped', evidence: {} };
    made.remember(peer, wish, failed);
    made.remember(stranger, wish, passed);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await confirm()).toEqual({
      verdicts: [{ id: wish.id, ageSeconds: 1, answer: failed }],
      pending: false,
    });
    expect(probe).not.toHaveBeenCalled();
  });

  test('is not answered by what the own round could not tell', async () => {
    const probe = vi.fn(async () => passed);
    const { made, confirm } = service({ probe });
    made.remember(peer, wish, { outcome: 'unknown', reason: 'no-witness' });
    expect(await confirm()).toEqual({ verdicts: [], pending: true });
    expect(probe).toHaveBeenCalledTimes(1);
  });

  test('runs with at most 63 others; what finds no place is asked for again', async () => {
    const ends: (() => void)[] = [];
    const probe = vi.fn(
      async () =>
        await new Promise<Answer>((resolve) => {
          ends.push(() => {
            resolve(passed);
          });
        }),
    );
    const { confirm } = service({ probe });
    for (let port = 1; port <= 100; port++)
      expect((await confirm([{ ...wish, params: { port } }]))?.pending).toBe(true);
    expect(probe).toHaveBeenCalledTimes(64);
    for (const end of ends) end();
    await settle();
    expect((await confirm([{ ...wish, params: { port: 100 } }]))?.pending).toBe(true);
    expect(probe).toHaveBeenCalledTimes(65);
  });

  test('is forgotten when 16,384 newer ones came', async () => {
    const probe = vi.fn(async () => passed);
    const { made, confirm } = service({ probe });
    made.remember(peer, wish, passed);
    for (let port = 0; port < 16_383; port++)
      made.remember(peer, { ...wish, params: { port } }, passed);
    expect((await confirm())?.pending).toBe(false);
    made.remember(peer, { ...wish, params: { port: 16_383 } }, passed);
    expect((await confirm())?.pending).toBe(true);
  });
});

test('an answer fits into the request that asked for it: evidence goes first', async () => {
  const evidence = Object.fromEntries(
    Array.from({ length: 10 }, (_, index) => [`key${index}`, 'x'.repeat(60)]),
  );
  const requirements = [1, 2, 3].map((port) => ({
    ...wish,
    id: `${'long-name.'.repeat(8)}${port}`,
    params: { port },
  }));
  const { answer, made } = service();
  const failed: Answer = {
    outcome: 'fail',
    reason: 'rejected-by-sender-firewall',
    evidence,
    culprit: { where: 'receiver-ingress', node: 'peer' },
  };
  for (const one of requirements) made.remember(peer, one, failed);
  const body = await answer({ op: 'confirm', requirements, maximumAgeSeconds: 30 });
  expect(body?.length).toBeLessThanOrEqual(1000);
  const said = readVerdicts(body ?? new Uint8Array());
  expect(said?.verdicts.map(({ id }) => id)).toEqual(requirements.map(({ id }) => id));
  expect(said?.verdicts.every(({ answer: { reason } }) => reason === failed.reason)).toBe(true);
});

test('facts with the longest names still fit', async () => {
  const facts = someFacts({
    node: 'n'.repeat(128),
    version: 'v'.repeat(32),
    overlay: Object.fromEntries(
      Array.from({ length: 8 }, (_, index) => [
        `longest-name-0${index}/ipv6`,
        '2001:db8:1111:2222:3333:4444:5555:6666',
      ]),
    ),
  });
  const body = await service({ facts: () => facts }).answer({ op: 'facts' });
  expect(readFacts(body ?? new Uint8Array())).toEqual(facts);
  expect(body?.length).toBeLessThanOrEqual(1000);
});
