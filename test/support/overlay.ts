/**
 * @module An overlay in the manner of flannel on the nodes of a lab: a VXLAN device with static routes, neighbours and forwarding
 * entries, a bridge, and one pod a node. Node nK has VTEP 10.244.K.0, bridge 10.244.K.1 and pod 10.244.K.2.
 */
import { type Lab, type LabNode, Place } from './lab.ts';
import { run } from './process.ts';

export interface OverlayOptions {
  readonly vni?: number;
  readonly port?: number;
  readonly mtu?: number;
}

/** What one node's VXLAN device is made with, where that is not what its peers believe. */
export interface TunnelOptions extends OverlayOptions {
  readonly mac?: string;
  readonly local?: string;
  /** Of the outer packets; `unset` as Linux does unless told. */
  readonly df?: 'set' | 'unset';
}

export const tunnelDevice = 'flannel.1';
export const bridgeDevice = 'cni0';

/** Builds the overlay on every node of the lab; it goes away with the returned object. */
export async function createOverlay(lab: Lab, options: OverlayOptions = {}): Promise<Overlay> {
  const overlay = new Overlay(lab, options);
  try {
    await overlay.build();
  } catch (error) {
    await overlay[Symbol.asyncDispose]();
    throw error;
  }
  return overlay;
}

export class Overlay implements AsyncDisposable {
  readonly members: readonly Member[];
  readonly options: Required<OverlayOptions>;

  constructor(lab: Lab, { vni = 1, port = 8472, mtu = 1450 }: OverlayOptions) {
    this.members = lab.nodes.map((node) => new Member(node));
    this.options = { vni, port, mtu };
  }

  /** By the name of the node. */
  on(name: string): Member {
    const found = this.members.find(({ node }) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name} in this overlay`);
    return found;
  }

  async build(): Promise<void> {
    const { members, options } = this;
    await run('ip', ['-batch', '-'], {
      input: members.map(({ pod }) => `netns add ${pod.namespace}\n`).join(''),
    });
    await Promise.all(
      members.map(async (member) => {
        await this.makeTunnel(member.node.name);
        await member.node.ip(member.podSide(options.mtu));
        await member.pod.ip(member.inPod(options.mtu));
      }),
    );
  }

  /** Makes the node's VXLAN device, anew where there is one, with all that the node knows of the others. */
  async makeTunnel(name: string, change: TunnelOptions = {}): Promise<void> {
    const own = this.on(name);
    const others = this.members.filter((member) => member !== own);
    const { vni, port, mtu, local, mac, df } = {
      ...this.options,
      local: own.node.address4,
      mac: own.mac,
      df: 'unset',
      ...change,
    };
    await run('ip', ['-n', own.node.namespace, 'link', 'del', tunnelDevice], { expectExit: 'any' });
    await own.node.ip([
      `link add ${tunnelDevice} address ${mac} mtu ${mtu} type vxlan id ${vni} dev e0 local ${local} dstport ${port} nolearning df ${df}`,
      `addr add ${own.vtep}/32 dev ${tunnelDevice}`,
      `link set ${tunnelDevice} up`,
      ...others.map(
        ({ subnet, vtep }) => `route add ${subnet} via ${vtep} dev ${tunnelDevice} onlink`,
      ),
      ...others.map(
        ({ vtep, mac: theirs }) =>
          `neigh add ${vtep} lladdr ${theirs} dev ${tunnelDevice} nud permanent`,
      ),
    ]);
    await own.node.exec('bridge', ['-batch', '-'], {
      input: others
        .map(
          ({ mac: theirs, node }) =>
            `fdb append ${theirs} dev ${tunnelDevice} dst ${node.address4}\n`,
        )
        .join(''),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { pod, node } of this.members) {
      for (const command of [
        ['-n', node.namespace, 'link', 'del', tunnelDevice],
        ['-n', node.namespace, 'link', 'del', bridgeDevice],
        ['netns', 'del', pod.namespace],
      ])
        await run('ip', command, { expectExit: 'any' });
    }
  }
}

/** A node of the overlay, with its pod. */
export class Member {
  readonly node: LabNode;
  readonly pod: Place;
  readonly vtep: string;
  readonly mac: string;
  readonly subnet: string;
  readonly bridgeAddress: string;
  readonly podAddress: string;

  constructor(node: LabNode) {
    const { index } = node;
    this.node = node;
    // The name of the namespace tells this lab's pods from another's.
    this.pod = new Place(node.namespace.replace(/n(\d+)$/, 'p$1'));
    this.vtep = `10.244.${index}.0`;
    this.mac = `02:00:00:00:aa:${index.toString(16).padStart(2, '0')}`;
    this.subnet = `10.244.${index}.0/24`;
    this.bridgeAddress = `10.244.${index}.1`;
    this.podAddress = `10.244.${index}.2`;
  }

  podSide(mtu: number): readonly string[] {
    return [
      `link add ${bridgeDevice} type bridge`,
      `addr add ${this.bridgeAddress}/24 dev ${bridgeDevice}`,
      `link set ${bridgeDevice} mtu ${mtu} up`,
      `link add veth0 mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${this.pod.namespace}`,
      `link set veth0 master ${bridgeDevice} up`,
    ];
  }

  inPod(mtu: number): readonly string[] {
    return [
      'link set lo up',
      `addr add ${this.podAddress}/24 dev eth0`,
      `link set eth0 mtu ${mtu} up`,
      `route add default via ${this.bridgeAddress}`,
    ];
  }

  /** Whether an echo request of this node's pod to the pod of another one is answered; `bytes` is the size of the IP packet. */
  async reachesPod(other: Member, bytes?: number): Promise<boolean> {
    return await answers(this.pod, other.podAddress, bytes);
  }

  /** Whether the pod of another node answers a connection of this node's pod; it refuses, for nobody listens there. */
  async connectsToPod(other: Member, port: number): Promise<boolean> {
    const script = `echo > /dev/tcp/${other.podAddress}/${port}`;
    const { exitCode, stderr } = await this.pod.exec('timeout', ['1', 'bash', '-c', script], {
      expectExit: 'any',
    });
    return exitCode === 0 || stderr.includes('refused');
  }

  /** Whether the VTEP of another node answers this node. */
  async reachesVtep(other: Member): Promise<boolean> {
    return await answers(this.node, other.vtep);
  }
}

async function answers(from: Place, address: string, bytes?: number): Promise<boolean> {
  const size = bytes === undefined ? [] : ['-M', 'do', '-s', `${bytes - 28}`];
  const ping = await from.exec('ping', ['-n', '-c', '1', '-W', '1', ...size, address], {
    expectExit: 'any',
  });
  return ping.exitCode === 0;
}
