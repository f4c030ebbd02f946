/** The overlay that other tests break is a real one: pods reach one another through it, and through nothing else. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLab, type Lab } from '../support/lab.ts';
import { createOverlay, type Overlay, tunnelDevice } from '../support/overlay.ts';

let lab: Lab;
let overlay: Overlay;
beforeAll(async () => {
  lab = await createLab({ nodes: 2, ipv6: false });
  overlay = await createOverlay(lab);
});
afterAll(async () => {
  await overlay[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

test('pods and tunnel ends reach one another, also with full-sized packets, and no longer without the tunnel', async () => {
  const [one, two] = [overlay.on('n1'), overlay.on('n2')];
  expect(await one.reachesVtep(two)).toBe(true);
  expect(await one.reachesPod(two)).toBe(true);
  expect(await two.reachesPod(one, 1450)).toBe(true);
  await two.node.ip([`link set ${tunnelDevice} down`]);
  expect(await one.reachesVtep(two)).toBe(false);
  expect(await one.reachesPod(two)).toBe(false);
  await overlay.makeTunnel('n2');
  expect(await one.reachesPod(two)).toBe(true);
});

test('another VNI on one node alone parts the two', async () => {
  const [one, two] = [overlay.on('n1'), overlay.on('n2')];
  await overlay.makeTunnel('n2', { vni: 2 });
  expect(await one.reachesVtep(two)).toBe(false);
  await overlay.makeTunnel('n2');
  expect(await one.reachesVtep(two)).toBe(true);
});
