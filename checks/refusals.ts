/**
 * @module What errors say of a probe without the help of a witness (test/lab/traps.test.ts has each).
 * How many ICMP errors came is never evidence: they are rate-limited.
 */
import { type Answer, type Evidence, fail, type PeerTarget, unknown } from './check.ts';
import type { Host } from './host/host.ts';
import type { Observation, PacketError } from './host/network.ts';

/** The own stack refused to send every one of them: own firewall, own queue or own route. */
export function judgeSendError(
  observations: readonly Observation[],
  target: PeerTarget,
  evidence: Evidence,
): Answer | undefined {
  const [first] = observations;
  if (first?.sendError === undefined) return undefined;
  if (!observations.every(({ sendError }) => sendError !== undefined)) return undefined;
  const all = { ...evidence, errno: first.sendError };
  switch (first.sendError) {
    case 'EPERM':
      // An own reject also answers with an ICMP error, from an address of this node.
      return observations.some(({ errors }) => errors.some(({ type }) => type !== undefined))
        ? fail('rejected-by-sender-firewall', all, { where: 'sender-egress', node: 'this' })
        : fail('dropped-by-sender-firewall', all, { where: 'sender-egress', node: 'this' });
    case 'ENOBUFS':
      return fail('dropped-by-sender-egress', all, { where: 'sender-egress', node: 'this' });
    case 'EACCES':
    case 'EINVAL':
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
    case 'EADDRNOTAVAIL':
      // An ICMP error of an earlier packet shows here too; then it is not the own route.
      if (observations.some(({ errors }) => errors.some(({ type }) => type !== undefined)))
        return judgeErrors(observations, target, evidence);
      return fail('no-route', all, { where: 'node', node: 'this' });
    default:
      return unknown('inconclusive', all);
  }
}

/** Somebody sent an ICMP error that settles it: a prohibition, a refusal in the receiver's name, or an unreachable host or network. */
export function judgeErrors(
  observations: readonly Observation[],
  target: PeerTarget,
  evidence: Evidence,
): Answer | undefined {
  const errors = observations.flatMap((observation) => observation.errors);
  const prohibited =
    errors.find(isProhibition) ?? errors.find((error) => isForeignRefusal(error, target));
  if (prohibited !== undefined) {
    const by = prohibited.offender ?? '';
    const all = { ...evidence, ...describe(prohibited) };
    if (by === target.address)
      return fail('rejected-by-firewall', all, { where: 'receiver-ingress', node: 'peer' });
    return fail('rejected-by-firewall', all, { where: 'path', node: 'path' });
  }
  const unreachable = errors.find(isHostUnreachable);
  if (unreachable !== undefined)
    return unknown('peer-unreachable', { ...evidence, ...describe(unreachable) });
  return undefined;
}

/** Net, host or communication administratively prohibited: ICMP 3/9, 3/10, 3/13; ICMPv6 1/1, 1/5, 1/6. */
export function isProhibition({ type, code }: PacketError): boolean {
  if (type === 3) return code === 9 || code === 10 || code === 13;
  return type === 1 && (code === 1 || code === 5 || code === 6);
}

/**
 * Port or protocol unreachable (ICMP 3/2 and 3/3, ICMPv6 1/4) from somebody else than the receiver. The kernel sends
 * them from the very address that was asked, so this is a firewall on the way.
 */
export function isForeignRefusal(
  { type, code, offender }: PacketError,
  target: PeerTarget,
): boolean {
  if (offender === undefined || offender === target.address) return false;
  return (type === 3 && (code === 2 || code === 3)) || (type === 1 && code === 4);
}

/** Net or host unreachable: ICMP 3/0, 3/1; ICMPv6 1/0, 1/3. From an own address: the neighbour did not answer. */
export function isHostUnreachable({ type, code, errno }: PacketError): boolean {
  if (type === 3) return code === 0 || code === 1;
  if (type === 1) return code === 0 || code === 3;
  return type === undefined && errno === 'EHOSTUNREACH';
}

/** Whether this node itself is the one that said so. */
export async function isOwnAddress(
  address: string | undefined,
  host: Pick<Host, 'addresses'>,
): Promise<boolean> {
  if (address === undefined) return false;
  return (await host.addresses()).some((own) => own.address === address);
}

/** An ICMP error as evidence. */
export function describe({ type, code, offender, errno }: PacketError): Evidence {
  return {
    icmp: type === undefined ? errno : `${type}/${code ?? 0}`,
    ...(offender === undefined ? {} : { rejectedBy: offender }),
  };
}
