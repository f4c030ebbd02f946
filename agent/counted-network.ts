/** @module Counts the probes of one kind of requirement while they pass. */
import type { Answer } from '../checks/check.ts';
import type { Network, Observation } from '../checks/host/network.ts';
import { kinds } from '../rules/schema.ts';
import type { Metrics, ProbeKind } from './metrics.ts';

const probing: readonly string[] = [
  'icmp-echo',
  'udp-port',
  'tcp-port',
  'ip-protocol',
  'vxlan-path',
  'path-mtu',
  'overlay-path',
  'latency',
  'peer-agreement',
] satisfies readonly (ProbeKind & (typeof kinds)[number])[];

/** Whether a kind of requirement sends probes. */
export function isProbing(kind: string): kind is ProbeKind {
  return probing.includes(kind);
}

/** The same sockets, with every probe counted under one kind. */
export function countedNetwork(network: Network, kind: ProbeKind, metrics: Metrics): Network {
  async function count<T extends Observation>(probe: Promise<T>): Promise<T> {
    metrics.probeSent(kind);
    const observation = await probe;
    if (observation.stalled) metrics.probeInconclusive(kind);
    if (observation.rttSeconds !== undefined) metrics.rtt(kind, observation.rttSeconds);
    return observation;
  }
  return {
    udp: async (...given) => await count(network.udp(...given)),
    echo: async (...given) => await count(network.echo(...given)),
    tcp: async (...given) => await count(network.tcp(...given)),
    wasReported: (destination, port) => network.wasReported(destination, port),
    ipProtocol: async (...given) => await count(network.ipProtocol(...given)),
    tap: (...given) => network.tap(...given),
  };
}

/** Counts what an answer says of its probes: lost where a far end was known to listen, inconclusive where not. */
export function countAnswer(answer: Answer, kind: ProbeKind, metrics: Metrics): void {
  const { sent, witnessed, replied, connected } = answer.evidence ?? {};
  if (typeof sent !== 'number') return;
  const arrived = [witnessed, replied, connected].find((value) => typeof value === 'number') ?? 0;
  const missing = sent - Number(arrived);
  if (answer.outcome === 'pass' && answer.partialLoss !== undefined)
    repeat(answer.partialLoss.lost, () => metrics.probeLost(kind));
  else if (answer.outcome === 'fail') repeat(missing, () => metrics.probeLost(kind));
  else if (answer.outcome === 'unknown') repeat(missing, () => metrics.probeInconclusive(kind));
}

function repeat(times: number, work: () => void): void {
  for (let done = 0; done < times; done++) work();
}
