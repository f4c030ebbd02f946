/** @module Large packets do not pass. */
import type { Place } from '../../support/lab.ts';
import { chainUntilUndone, type Fault, type Scene, type Truth } from '../fault.ts';

/** Only the way to the receiver is narrow. */
async function narrow(scene: Scene, bytes: number): Promise<void> {
  const { receiver, world } = scene;
  await world.router.pathMtu(receiver, bytes);
  scene.undo(async () => {
    await world.router.pathMtu(receiver, 1500);
  });
}

function tooSmall(): Truth {
  return {
    outcome: 'fail',
    topic: 'mtu',
    node: 'path',
    where: ['mtu'],
    reasons: ['path-mtu-too-small'],
    spread: { paths: 'pair', topics: ['mtu', 'size'] },
  };
}

export const mtuFaults: readonly Fault[] = [
  {
    name: 'mtu-small',
    about: 'the path carries less than the overlay needs, and routers say so',
    protocols: ['vxlan'],
    async inject(scene) {
      await narrow(scene, scene.random.integer(1280, 1490));
      return tooSmall();
    },
  },
  {
    name: 'mtu-black-hole',
    about: 'the path carries less than the overlay needs, and no router says so',
    protocols: ['vxlan'],
    async inject(scene) {
      await narrow(scene, scene.random.integer(1280, 1490));
      const silence = await scene.world.router.silence();
      scene.undo(async () => {
        await silence[Symbol.asyncDispose]();
      });
      return tooSmall();
    },
  },
  {
    name: 'fragments-dropped',
    about: 'the path is narrow, and the network drops fragments',
    protocols: ['vxlan'],
    families: ['ipv4'],
    async inject(scene) {
      const { receiver, world } = scene;
      await narrow(scene, scene.random.integer(1280, 1490));
      // The router itself cuts, behind its forward hook.
      await dropFragments(scene, world.router, 'egress', `e${receiver.index}`);
      return fragmentsLost('path', 'path');
    },
  },
  {
    name: 'fragments-ingress',
    about: "the path is narrow, and the receiver's netdev ingress drops fragments",
    protocols: ['vxlan'],
    families: ['ipv4'],
    async inject(scene) {
      await narrow(scene, scene.random.integer(1280, 1490));
      await dropFragments(scene, scene.receiver, 'ingress', 'e0');
      return fragmentsLost('receiver-ingress', 'receiver');
    },
  },
];

async function dropFragments(
  scene: Scene,
  place: Place,
  hook: string,
  device: string,
): Promise<void> {
  const rule = 'ip frag-off & 0x3fff != 0 drop';
  await chainUntilUndone(scene, place, hook, rule, { family: 'netdev', device });
}

function fragmentsLost(where: 'path' | 'receiver-ingress', node: 'path' | 'receiver'): Truth {
  return {
    outcome: 'fail',
    topic: 'size',
    node,
    where: [where],
    reasons: ['fragments-lost'],
    spread: { paths: 'pair', topics: ['mtu', 'size'] },
  };
}
