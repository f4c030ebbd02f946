/** @module How large the largest packet is that the overlay will send to a peer. */
import type { Context, PeerTarget } from './check.ts';

export interface OverlaySize {
  /** Bytes of the outer IP packet. */
  readonly neededBytes: number;
  /** MTU of the interface that it leaves by. */
  readonly interfaceMtuBytes: number;
  readonly interface: string;
  /** Where the number comes from. */
  readonly origin: string;
}

/** Overlay MTU plus overhead; before there is an overlay device, what the interface carries. Undefined without a route. */
export async function overlayPacketBytes(
  overheadBytes: number,
  target: PeerTarget,
  { host, facts }: Context,
): Promise<OverlaySize | undefined> {
  const route = await host.route(target.address);
  if (route === undefined || route.type !== 'unicast') return undefined;
  const link = (await host.links()).find(({ index }) => index === route.index);
  if (link === undefined) return undefined;
  const known = facts.mtu > 0;
  return {
    // Larger than any jumbo frame would only exercise the own stack's fragmentation.
    neededBytes: Math.min(known ? facts.mtu + overheadBytes : link.mtu, maximumBytes),
    interfaceMtuBytes: link.mtu,
    interface: link.name,
    origin: known ? `overlay MTU ${facts.mtu} + ${overheadBytes}` : `MTU of ${link.name}`,
  };
}

const maximumBytes = 9000;
