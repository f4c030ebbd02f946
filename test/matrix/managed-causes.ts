/** @module The most frequent causes on a host whose rules a program, or a person with a file, owns. */
import type { Family } from '../../checks/family.ts';
import type { Cell } from './cells.ts';
import type { Fault, Protocol, Scene, Truth } from './fault.ts';
import { fabricFaults } from './faults/fabric.ts';
import { truthOf } from './faults/host-firewall.ts';
import { mtuFaults } from './faults/mtu.ts';
import { routingFaults } from './faults/routing.ts';
import type { Managed, ManagerName } from './managers.ts';
import { managedNode } from './world.ts';

interface Cause {
  readonly name: string;
  readonly about: string;
  readonly protocol: Protocol;
  readonly family?: Family;
  /** Whether the managed node sends. */
  readonly outgoing?: boolean;
  readonly inject: (scene: Scene, managed: Managed) => Promise<Truth>;
}

/** Whether it drops or rejects is the manager's choice. */
function closed(scene: Scene, side: 'sender' | 'receiver'): Truth {
  const dropped = truthOf(scene, side, 'drop');
  const rejected = truthOf(scene, side, 'reject');
  if (dropped.outcome === 'pass' || rejected.outcome === 'pass') return dropped;
  return {
    ...dropped,
    reasons: [...dropped.reasons, ...rejected.reasons],
    spread: { paths: 'pair', topics: 'all' },
  };
}

async function closedIn(scene: Scene, managed: Managed): Promise<Truth> {
  await managed.close();
  return closed(scene, 'receiver');
}

async function closedOut(scene: Scene, managed: Managed): Promise<Truth> {
  await managed.closeOutgoing();
  const truth = closed(scene, 'sender');
  return truth.outcome === 'pass'
    ? truth
    : { ...truth, spread: { paths: 'sender', topics: 'all' } };
}

/** A fault elsewhere, while the manager lets everything pass. */
function elsewhere(faults: readonly Fault[], name: string): Cause['inject'] {
  return async (scene, managed) => {
    const fault = faults.find((one) => one.name === name);
    if (fault === undefined) throw new Error(`no fault ${name}`);
    await managed.open();
    return await fault.inject(scene);
  };
}

const causes: readonly Cause[] = [
  {
    name: 'tunnel-port',
    about: 'the tunnel port is closed by default',
    protocol: 'vxlan',
    inject: closedIn,
  },
  {
    name: 'tunnel-port-ipv6',
    about: 'the tunnel port is closed by default, on IPv6',
    protocol: 'vxlan',
    family: 'ipv6',
    inject: closedIn,
  },
  {
    name: 'control-port',
    about: 'a TCP port between nodes is closed by default',
    protocol: 'tcp',
    inject: closedIn,
  },
  {
    name: 'udp-port',
    about: "another tunnel's UDP port is closed by default",
    protocol: 'udp',
    inject: closedIn,
  },
  { name: 'ipip', about: 'IP protocol 4 is closed by default', protocol: 'ipip', inject: closedIn },
  {
    name: 'deny-rule',
    about: 'a rule of the manager refuses the port',
    protocol: 'udp',
    async inject(scene, managed) {
      await managed.refuse(scene.udpPort);
      return { ...closed(scene, 'receiver'), spread: { paths: 'into-receiver', topics: ['udp'] } };
    },
  },
  {
    name: 'outgoing-udp',
    about: 'what leaves is closed by default',
    protocol: 'vxlan',
    outgoing: true,
    inject: closedOut,
  },
  {
    name: 'outgoing-tcp',
    about: 'what leaves is closed by default',
    protocol: 'tcp',
    outgoing: true,
    inject: closedOut,
  },
  {
    name: 'fabric-drop',
    about: 'the network drops it, the manager does not',
    protocol: 'udp',
    inject: elsewhere(fabricFaults, 'fabric-drop'),
  },
  {
    name: 'mtu-small',
    about: 'the path is narrow',
    protocol: 'vxlan',
    inject: elsewhere(mtuFaults, 'mtu-small'),
  },
  {
    name: 'reverse-path-filter',
    about: 'strict reverse-path filter, and another way back',
    protocol: 'udp',
    inject: elsewhere(routingFaults, 'reverse-path-filter'),
  },
];

/** The runs of one manager. */
export function managedCells(manager: ManagerName, seeds: readonly number[]): readonly Cell[] {
  return seeds.flatMap((seed) =>
    causes.map(({ name, about, protocol, family = 'ipv4', outgoing = false, inject }): Cell => {
      const fault: Fault = {
        name: `${manager}: ${name}`,
        about,
        protocols: [protocol],
        async inject(scene) {
          const { managed } = scene.world;
          if (managed === undefined) throw new Error('nobody owns the rules of this world');
          scene.undo(async () => {
            await managed.open();
          });
          return await inject(scene, managed);
        },
      };
      const peer = seed % 2 === 0 ? 'n1' : 'n3';
      return {
        fault,
        protocol,
        family,
        direction: 'forth',
        words: `seed ${seed}, ${manager}, ${name}`,
        roles: outgoing ? [managedNode, peer] : [peer, managedNode],
      };
    }),
  );
}
