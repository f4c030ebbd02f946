/**
 * @module Whether the path carries the packets that the overlay will send, found with DF and without touching the
 * host's route cache (docs/adr/0006). IPv4 probes are echo requests with DF; IPv6 ones are UDP, because the kernel
 * caches the MTU of any Packet Too Big that quotes an ICMPv6 echo.
 */
import {
  type Answer,
  type Check,
  type Context,
  type Evidence,
  fail,
  type PeerTarget,
  pass,
  skip,
  unknown,
} from './check.ts';
import type { Observation } from './host/network.ts';
import { type OverlaySize, overlayPacketBytes } from './overlay-size.ts';
import { agentPort } from './peer-client.ts';

/** What became of packets of one size. */
type Fate =
  | { readonly fate: 'arrived' }
  | { readonly fate: 'too-big'; readonly mtu: number; readonly by: string }
  /** `stalled`: this process did not run meanwhile, so it proves nothing. */
  | { readonly fate: 'silence'; readonly stalled: boolean };

/** Sizes tried at once in a search: each step narrows the gap to a sixteenth. */
const sizesAtOnce = 16;
const smallestMtu = { ipv4: 576, ipv6: 1280 } as const;
const tries = 3;

export const pathMtu: Check<'path-mtu'> = {
  kind: 'path-mtu',
  summary: "the path carries the overlay's largest packets",
  scope: 'peer',
  needs: ['net-raw'],

  async run({ overheadBytes, overheadBytesIpv6 }, target, context) {
    if (target.scope !== 'peer') throw new Error('path-mtu is for peers');
    const overhead =
      target.family === 'ipv6' ? (overheadBytesIpv6 ?? overheadBytes) : overheadBytes;
    const size = await overlayPacketBytes(overhead, target, context);
    if (size === undefined) return skip('not-applicable');
    return await measure(size, target, context);
  },
};

async function measure(size: OverlaySize, target: PeerTarget, context: Context): Promise<Answer> {
  const { neededBytes } = size;
  const evidence: Evidence = {
    neededBytes,
    neededFor: size.origin,
    interfaceMtuBytes: size.interfaceMtuBytes,
  };
  if (neededBytes > size.interfaceMtuBytes) {
    return fail(
      'path-mtu-too-small',
      { ...evidence, pathMtuBytes: size.interfaceMtuBytes, reportedBy: size.interface },
      { where: 'mtu', node: 'this' },
    );
  }
  const send = await carrierFor(target, context);
  if (send === undefined) return unknown('no-witness', evidence);
  const whole = await attempt(send, neededBytes, tries);
  if (whole.fate === 'arrived') return pass({ ...evidence, pathMtuBytes: neededBytes });
  const found = await search(send, whole, target, neededBytes);
  if (context.signal.aborted) return unknown('deadline', evidence);
  if (found === undefined) return unknown('inconclusive', evidence);
  if (found >= neededBytes) return pass({ ...evidence, pathMtuBytes: neededBytes });
  const reported = whole.fate === 'too-big' ? { reportedBy: whole.by } : { icmpErrors: 'none' };
  return fail(
    'path-mtu-too-small',
    { ...evidence, pathMtuBytes: found, ...reported },
    { where: 'mtu', node: 'path' },
  );
}

type Send = (totalBytes: number) => Promise<Fate>;

/** Echo where the peer answers it (IPv4); otherwise UDP to a port of ours, which needs a witness or a refusal. */
async function carrierFor(target: PeerTarget, context: Context): Promise<Send | undefined> {
  const path = { family: target.family, destination: target.address };
  const { network } = context.host;
  const overEcho: Send = async (totalBytes) => {
    const probe = { totalBytes, dontFragment: true };
    const seen = await network.echo(path, probe, context.timeoutMs, context.signal);
    return fateOf(seen.replied, seen);
  };
  const overUdp: Send = async (totalBytes) => {
    const probe = { port: agentPort, payload: 'zero', totalBytes, dontFragment: true } as const;
    const seen = await network.udp(path, probe, context.timeoutMs, context.signal);
    const refused = seen.errors.some(
      ({ type, code, offender }) =>
        offender === target.address && ((type === 3 && code === 3) || (type === 1 && code === 4)),
    );
    return fateOf(seen.witnessed !== undefined || refused, seen);
  };
  for (const send of target.family === 'ipv4' ? [overEcho, overUdp] : [overUdp]) {
    if ((await attempt(send, smallestMtu[target.family], tries)).fate === 'arrived') return send;
  }
  return undefined;
}

function fateOf(arrived: boolean, { errors, sendError, stalled }: Observation): Fate {
  if (arrived) return { fate: 'arrived' };
  const tooBig = errors.find(({ errno }) => errno === 'EMSGSIZE');
  if (tooBig !== undefined)
    return { fate: 'too-big', mtu: tooBig.mtu ?? 0, by: tooBig.offender ?? 'this node' };
  return sendError === 'EMSGSIZE'
    ? { fate: 'too-big', mtu: 0, by: 'this node' }
    : { fate: 'silence', stalled };
}

/** Tries a size until it arrives or somebody says that it is too big. */
async function attempt(send: Send, totalBytes: number, times: number): Promise<Fate> {
  let fate: Fate = { fate: 'silence', stalled: false };
  for (let done = 0; done < times && fate.fate === 'silence'; done++) fate = await send(totalBytes);
  return fate;
}

/** The largest size that arrives: what a router reported if that is true, else found by narrowing. Undefined after a stall. */
async function search(
  send: Send,
  whole: Fate,
  target: PeerTarget,
  neededBytes: number,
): Promise<number | undefined> {
  let low: number = smallestMtu[target.family];
  let high = neededBytes;
  if (isStall(whole)) return undefined;
  if (whole.fate === 'too-big' && whole.mtu > low && whole.mtu < high) {
    const at = await attempt(send, whole.mtu, tries);
    if (isStall(at)) return undefined;
    if (at.fate === 'arrived') {
      const above = await attempt(send, whole.mtu + 1, 2);
      if (isStall(above)) return undefined;
      if (above.fate !== 'arrived') return whole.mtu;
      low = whole.mtu + 1;
    } else high = whole.mtu;
  }
  while (high - low > 1) {
    const step = Math.max(1, Math.floor((high - low) / sizesAtOnce));
    const sizes: number[] = [];
    for (let size = low + step; size < high; size += step) sizes.push(size);
    const fates = await Promise.all(
      sizes.map(async (size) => ({ size, ...(await attempt(send, size, 2)) })),
    );
    if (fates.some(isStall)) return undefined;
    const arrived = fates.filter(({ fate }) => fate === 'arrived').map(({ size }) => size);
    const largest = Math.max(low, ...arrived);
    high = Math.min(high, ...sizes.filter((size) => size > largest));
    low = largest;
  }
  return low;
}

function isStall(fate: Fate): boolean {
  return fate.fate === 'silence' && fate.stalled;
}
