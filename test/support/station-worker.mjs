// One end of a flow inside a lab node: reads one request a line, answers each with one line, and ends when its input ends. It uses the
// built program's own sockets.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { httpCarrier } from '../../dist/agent/peer-http.js';
import { createMachine } from '../../dist/checks/host/machine.js';
import { LinuxNetwork } from '../../dist/checks/host/network-linux.js';
import { createSourcePorts } from '../../dist/checks/host/source-ports.js';
import { openStations } from '../../dist/checks/host/stations.js';
import { Witness } from '../../dist/checks/host/witness.js';
import { createPeerChannel, datagramCarriers } from '../../dist/checks/peer-client.js';

const network = new LinuxNetwork({
  session: BigInt(process.pid) << 32n,
  sourcePorts: createSourcePorts({ first: 33_000, last: 60_000 }, new Set()),
  onDropped: () => {},
});
const host = { ...createMachine(), network };
const open = new Map();
const signal = new AbortController().signal;
const channels = new Map();
let witness;
let listener;

const operations = {
  async witness() {
    witness = new Witness(network, {
      onRequest: async () => undefined,
      isPeer: () => true,
      tproxyPossible: async () => false,
    });
    return witness.open();
  },
  async open({ flow, pastInput = false }) {
    open.set(JSON.stringify(flow), await openStations(host, flow, { pastInput }));
  },
  async stop({ flow }) {
    const key = JSON.stringify(flow);
    const stations = open.get(key);
    open.delete(key);
    return await stations.stop();
  },
  /** One probe of the flow. */
  async send({ flow, timeoutMs, totalBytes }) {
    const path = { family: flow.family, destination: flow.destination, source: flow.source };
    const size = totalBytes === undefined ? {} : { totalBytes };
    switch (flow.protocol) {
      case 17:
        return plain(
          await network.udp(
            path,
            { port: flow.port, payload: 'vxlan', ...size },
            timeoutMs,
            signal,
          ),
        );
      case 6:
        return plain(await network.tcp(path, flow.port, timeoutMs, signal));
      case 1:
      case 58:
        return plain(await network.echo(path, size, timeoutMs, signal));
      default:
        return plain(await network.ipProtocol(path, flow.protocol, timeoutMs, signal));
    }
  },
  /** Asks the agent of another node to look out for probes of this one; `over` is `http` or `datagram`. */
  async observe({ address, over, what }) {
    return (await channelTo(address, over).observe(what, signal)) ?? null;
  },
  async observed({ address, over, lookout }) {
    return (await channelTo(address, over).observed(lookout, signal)) ?? null;
  },
  /** A socket that takes datagrams. */
  async listen({ family, port }) {
    listener = createSocket(family === 'ipv4' ? 'udp4' : { type: 'udp6', ipv6Only: true });
    listener.bind(port);
    await once(listener, 'listening');
  },
  async unlisten() {
    listener.close();
  },
  async sockets() {
    const lines = (name) => readFileSync(`/proc/net/${name}`, 'utf8').trim().split('\n').length - 1;
    return { packet: lines('packet'), raw: lines('raw'), raw6: lines('raw6') };
  },
  async neighbour({ address }) {
    return (await host.neighbour(address)) ?? null;
  },
};

function channelTo(address, over) {
  const key = `${over} ${address}`;
  const known = channels.get(key);
  if (known !== undefined) return known;
  const channel = createPeerChannel({
    path: { family: address.includes(':') ? 'ipv6' : 'ipv4', destination: address },
    carriers: over === 'http' ? [httpCarrier(undefined)] : datagramCarriers(network),
    timeoutMs: 1000,
    confirmMs: 1000,
  });
  channels.set(key, channel);
  return channel;
}

function plain(observation) {
  return JSON.parse(
    JSON.stringify(observation, (_key, value) =>
      typeof value === 'bigint' ? String(value) : value,
    ),
  );
}

async function reply(line) {
  const { id, operation, ...request } = JSON.parse(line);
  let said;
  try {
    said = { answer: await operations[operation](request) };
  } catch (error) {
    said = { error: `${error.code ?? ''} ${error.stack}` };
  }
  process.stdout.write(`${JSON.stringify({ id, ...said })}\n`);
}

// Side by side: a test looks at several flows at once.
const replies = [];
for await (const line of createInterface({ input: process.stdin })) replies.push(reply(line));
await Promise.all(replies);
await witness?.[Symbol.asyncDispose]();
await network[Symbol.asyncDispose]();
