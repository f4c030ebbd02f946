/** @module What a CNI's agent would write into the kernel for one peer, as a person types it. It holds until the agent writes again. Pure. */

export type Command = string;

/** Names and addresses come from the kernel or were read as such, but what a peer wrote is checked once more: a person pastes it. */
const words = /^[A-Za-z0-9_.:/-]+$/;

function typed(line: string, ...parts: readonly string[]): Command | undefined {
  return parts.every((part) => words.test(part)) ? line : undefined;
}

export function neighbourRemedy(entry: {
  readonly device: string;
  readonly overlayAddress: string;
  readonly mac: string;
}): Command | undefined {
  const { device, overlayAddress, mac } = entry;
  return typed(
    `ip neigh replace ${overlayAddress} lladdr ${mac} dev ${device} nud permanent`,
    device,
    overlayAddress,
    mac,
  );
}

export function destinationRemedy(entry: {
  readonly device: string;
  readonly mac: string;
  readonly destination: string;
}): Command | undefined {
  const { device, mac, destination } = entry;
  return typed(
    `bridge fdb replace ${mac} dev ${device} dst ${destination}`,
    device,
    mac,
    destination,
  );
}

export function routeRemedy(entry: {
  readonly subnet: string;
  readonly overlayAddress: string;
  readonly device: string;
}): Command | undefined {
  const { subnet, overlayAddress, device } = entry;
  return typed(
    `ip route replace ${subnet} via ${overlayAddress} dev ${device} onlink`,
    subnet,
    overlayAddress,
    device,
  );
}
