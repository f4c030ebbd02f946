/** @module A running agent under datagrams that nobody should send, and requests that nobody signed. */
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAddress } from '../../checks/packet/address.ts';
import { type Mac, type Message, preambleBytes } from '../../checks/packet/message.ts';
import { encodeDatagram } from '../../checks/packet/probe.ts';
import {
  createLab,
  HTTP_PORT,
  type HttpAnswer,
  type Lab,
  type LabAgent,
  type LabNode,
} from '../support/lab.ts';
import { until } from '../support/wait.ts';

const slow = { deadlineMs: 60_000 };
const key = 'the key that all agents of this test share';
const mac: Mac = (bytes) => createHmac('sha256', key).update(bytes).digest();

let lab: Lab;
let n1: LabNode;
let attacker: LabNode;
let directory: string;

beforeAll(async () => {
  lab = await createLab({ nodes: 2, ipv6: false });
  n1 = lab.node('n1');
  attacker = lab.node('n2');
  directory = mkdtempSync(join(tmpdir(), 'datagrams-'));
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

// 8472 is a port under test, 10472 the agents' own: the witness hears both.
describe.each([8472, HTTP_PORT])('to UDP port %i', (port) => {
  let agent: LabAgent;
  beforeAll(async () => {
    agent = await n1.agent(['--provider', 'canal', '--interval', '3600', '--timeout', '0.3']);
  });
  afterAll(() => agent[Symbol.asyncDispose]());

  test('a probe is answered once: not when it comes again, nor when it is malformed', async () => {
    const probe = datagram(port, {});
    const forged: Readonly<Record<string, Uint8Array>> = {
      'version': changed(probe, preambleBytes + 4, 9),
      'length': changed(probe, preambleBytes + 43, 8),
      'reserved': changed(probe, preambleBytes + 6, 0x80),
      'signed-without-key': datagram(port, { nonce: 2n }, mac),
    };
    const before = await dropped(agent);
    const answers = await send(attacker, port, [probe, probe, ...Object.values(forged)]);
    expect(answers).toEqual([1, 0, 0, 0, 0, 0]);
    const after = await dropped(agent);
    for (const reason of ['replayed', ...Object.keys(forged)]) {
      expect(`${reason} ${(after[reason] ?? 0) - (before[reason] ?? 0)}`).toBe(`${reason} 1`);
    }
    await expectAlive(agent);
  });

  test('what is cut off, noise, answers and responses get no answer, and do no harm', async () => {
    const probe = datagram(port, { nonce: 3n });
    const cuts = [0, 1, preambleBytes, preambleBytes + 4, preambleBytes + 20, probe.length - 1].map(
      (length) => probe.subarray(0, length),
    );
    const noise = [8, 64, 200, 1200].map((length) => someBytes(length, port));
    const others = [
      datagram(port, { nonce: 4n, type: 'answer', observation: 'seen' }),
      datagram(port, { nonce: 5n, type: 'response', body: Buffer.from('{}') }),
      // A request that is no JSON, one that is not known, one that asks for nothing.
      datagram(port, { nonce: 6n, type: 'request', body: Buffer.from('{"op":') }),
      datagram(port, { nonce: 7n, type: 'request', body: Buffer.from('{"op":"reboot"}') }),
      datagram(port, { nonce: 8n, type: 'request' }),
    ];
    const all = [...cuts, ...noise, ...others];
    expect(await send(attacker, port, all)).toEqual(all.map(() => 0));
    await expectAlive(agent);
    // The witness is as awake as before.
    expect(await send(attacker, port, [datagram(port, { nonce: 9n })])).toEqual([1]);
  });
});

test('a witness that a flood left no room says so to its peers, and only then', async () => {
  const settings = ['--provider', 'canal', '--interval', '3600', '--timeout', '0.3'];
  await using agent = await n1.agent([...settings, ...lab.peerArguments(n1)]);
  const report = async (): Promise<Readonly<Record<string, unknown>>> => {
    const url = `http://${n1.address4}:${HTTP_PORT}/peer/v1/heard`;
    const { status, body } = await attacker.http(url, {
      method: 'POST',
      body: '{"nonces":["00000000000000ff"]}',
      headers: { 'content-type': 'application/json' },
    });
    expect({ status, body }).toMatchObject({ status: 200 });
    return JSON.parse(body);
  };
  // As many as it has room for do no harm.
  await send(attacker, 8472, [datagram(8472, { session: 77n })]);
  expect(await report()).not.toHaveProperty('overloadedSeconds');

  // It stands still while more forged probes come than its socket holds.
  const forged = changed(datagram(8472, {}), preambleBytes + 4, 9);
  agent.signal('SIGSTOP');
  await flood(attacker, 8472, forged, 20_000);
  agent.signal('SIGCONT');
  const { overloadedSeconds } = await report();
  expect(overloadedSeconds).toBeGreaterThanOrEqual(0);
  expect(overloadedSeconds).toBeLessThan(60);
});

describe('with a key', () => {
  let agent: LabAgent;
  beforeAll(async () => {
    const file = join(directory, 'key');
    writeFileSync(file, `${key}\n`, { mode: 0o600 });
    const settings = ['--provider', 'canal', '--interval', '3600', '--timeout', '0.3'];
    agent = await n1.agent([...settings, '--key-file', file, ...lab.peerArguments(n1)]);
  });
  afterAll(() => agent[Symbol.asyncDispose]());

  test('a probe is answered only if it is rightly signed, and its answer is signed', async () => {
    const signed = datagram(8472, { nonce: 1n }, mac);
    const forged = changed(datagram(8472, { nonce: 2n }, mac), preambleBytes + 16, 0x7f);
    const unsigned = datagram(8472, { nonce: 3n });
    const before = await dropped(agent);
    expect(await send(attacker, 8472, [signed, forged, unsigned])).toEqual([1, 0, 0]);
    const after = await dropped(agent);
    for (const reason of ['bad-mac', 'unsigned']) {
      expect(`${reason} ${(after[reason] ?? 0) - (before[reason] ?? 0)}`).toBe(`${reason} 1`);
    }
  });

  test('a request over HTTP is refused with 401 unless it is rightly signed', async () => {
    const signature = (what: string, body: string): string =>
      Buffer.from(mac(Buffer.from(`${what}\n${body}`)))
        .subarray(0, 16)
        .toString('hex');
    const facts = (headers: Readonly<Record<string, string>>): Promise<HttpAnswer> =>
      attacker.http(`http://${n1.address4}:${HTTP_PORT}/peer/v1/facts`, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json', ...headers },
      });
    expect(await facts({})).toMatchObject({ status: 401 });
    const name = 'x-cni-preflight-signature';
    expect(await facts({ [name]: signature('watch', '{}') })).toMatchObject({ status: 401 });
    const answer = await facts({ [name]: signature('facts', '{}') });
    expect(answer).toMatchObject({ status: 200 });
    expect(answer.headers[name]).toBe(signature('facts response', answer.body));
  });
});

/** The UDP payload of a message to n1 that is valid but for what is changed; without a change a probe. */
function datagram(port: number, change: Partial<Message>, signer?: Mac): Uint8Array {
  const address = parseAddress(n1.address4);
  if (address === undefined) throw new Error(`${n1.address4} is no address`);
  const message: Message = {
    type: 'probe',
    // A session of its own for each port, for the agent remembers the nonces of a session.
    session: BigInt(port),
    nonce: 1n,
    address,
    port,
    body: new Uint8Array(),
    ...change,
  };
  return encodeDatagram(message, {
    payload: 'vxlan',
    ...(signer === undefined ? {} : { mac: signer }),
  });
}

function changed(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[offset] = value;
  return copy;
}

/** Bytes that look random and are the same in every run. */
function someBytes(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 24;
  });
}

/** Sends each payload from a socket of its own, in order, and counts the datagrams that came back to it. */
async function send(
  from: LabNode,
  port: number,
  payloads: readonly Uint8Array[],
): Promise<readonly number[]> {
  const script = `
    import { createSocket } from 'node:dgram';
    import { text } from 'node:stream/consumers';
    const { address, port, payloads } = JSON.parse(await text(process.stdin));
    const answers = [];
    for (const [index, payload] of payloads.entries()) {
      const socket = createSocket('udp4');
      answers.push(0);
      socket.on('message', () => { answers[index] += 1; });
      await new Promise((sent) => socket.send(Buffer.from(payload, 'hex'), port, address, sent));
    }
    setTimeout(() => { console.log(JSON.stringify(answers)); process.exit(); }, 1000);`;
  const { stdout } = await from.exec(process.execPath, ['--input-type=module', '--eval', script], {
    input: JSON.stringify({
      address: n1.address4,
      port,
      payloads: payloads.map((payload) => Buffer.from(payload).toString('hex')),
    }),
  });
  const answers: readonly number[] = JSON.parse(stdout);
  return answers;
}

/** Sends one payload over and over, as fast as it goes. */
async function flood(
  from: LabNode,
  port: number,
  payload: Uint8Array,
  times: number,
): Promise<void> {
  const script = `
    import { createSocket } from 'node:dgram';
    const [address, port, payload, times] = process.argv.slice(1);
    const socket = createSocket('udp4');
    await new Promise((done) => socket.connect(Number(port), address, done));
    for (let sent = 0; sent < Number(times); sent += 100) {
      await Promise.all(Array.from({ length: 100 }, () =>
        new Promise((done) => socket.send(Buffer.from(payload, 'hex'), done))));
    }
    socket.close();`;
  const hex = Buffer.from(payload).toString('hex');
  const args = [n1.address4, String(port), hex, String(times)];
  await from.exec(process.execPath, ['--input-type=module', '--eval', script, '--', ...args]);
}

/** Datagrams that the agent has dropped, by reason. */
async function dropped(agent: LabAgent): Promise<Readonly<Record<string, number>>> {
  const { body } = await agent.get('/metrics');
  const series = /^cni_preflight_datagrams_dropped_total\{reason="([\w-]+)"\} (\d+)$/gm;
  return Object.fromEntries(
    [...body.matchAll(series)].map(([, reason, count]) => [reason, Number(count)]),
  );
}

async function expectAlive(agent: LabAgent): Promise<void> {
  expect(agent.running).toBe(true);
  expect(agent.stderr).toBe('');
  await until(
    'the agent answers',
    async () => ((await agent.get('/healthz')).status === 200 ? true : undefined),
    slow,
  );
}
