/** @module Programs at tc that take the probes away, of which no rule tells. */
import type { LabNode } from '../../support/lab.ts';
import type { Fault, Scene, Truth } from '../fault.ts';

/** UDP or TCP to this port over IPv4 without options: dropped; all else passes. */
function bytecode({ protocol, port = 0 }: Scene): string {
  const program = [
    '40 0 0 12', // the EtherType
    '21 0 4 2048',
    '48 0 0 23', // the protocol
    `21 0 2 ${protocol === 'tcp' ? 6 : 17}`,
    '40 0 0 36', // the port
    `21 1 0 ${port}`,
    '6 0 0 0', // TC_ACT_OK
    '6 0 0 2', // TC_ACT_SHOT
  ];
  return `${program.length},${program.join(',')}`;
}

async function attach(scene: Scene, place: LabNode, hook: 'ingress' | 'egress'): Promise<void> {
  await place.exec('tc', ['qdisc', 'add', 'dev', 'e0', 'clsact']);
  scene.undo(async () => {
    await place.exec('tc', ['qdisc', 'del', 'dev', 'e0', 'clsact']);
  });
  const filter = ['filter', 'add', 'dev', 'e0', hook, 'bpf', 'da', 'bytecode', bytecode(scene)];
  await place.exec('tc', filter);
}

function programFault(
  name: string,
  about: string,
  hook: 'ingress' | 'egress',
  truth: (scene: Scene) => Truth,
): Fault {
  return {
    name,
    about,
    protocols: ['udp', 'tcp', 'vxlan'],
    families: ['ipv4'],
    async inject(scene) {
      await attach(scene, hook === 'egress' ? scene.sender : scene.receiver, hook);
      return truth(scene);
    },
  };
}

export const programFaults: readonly Fault[] = [
  programFault(
    'tc-egress',
    "a program at tc egress of the sender's interface",
    'egress',
    ({ protocol }) => ({
      outcome: 'fail',
      node: 'sender',
      where: ['sender-egress'],
      reasons: ['dropped-by-sender-egress'],
      spread: { paths: 'out-of-sender', topics: [protocol] },
    }),
  ),
  programFault(
    'tc-ingress',
    "a program at tc ingress of the receiver's interface",
    'ingress',
    ({ protocol }) => ({
      outcome: 'fail',
      node: 'receiver',
      where: ['receiver-ingress'],
      reasons: ['dropped-by-receiver-ingress'],
      spread: { paths: 'into-receiver', topics: [protocol] },
    }),
  ),
];
