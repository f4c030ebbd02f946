import { describe, expect, test } from 'vitest';
import type { Origin } from '../../../agent/config-layers.ts';
import {
  chooseDetected,
  chooseProvider,
  detectHere,
  namesOf,
  nothingDetected,
} from '../../../agent/provider-selection.ts';
import { HostError, type Link } from '../../../checks/host/host.ts';
import { loadCatalogue } from '../../../rules/load.ts';

const catalogue = await loadCatalogue({});
const flannel: Link = {
  index: 5,
  name: 'flannel.1',
  mtu: 1410,
  up: true,
  loopback: false,
  kind: 'vxlan',
  port: 4789,
  vni: 4096,
};
const eth0: Link = { index: 2, name: 'eth0', mtu: 1500, up: true, loopback: false };
const host = (links: readonly Link[], files: readonly string[] = []) => ({
  exists: async (path: string) => files.includes(path),
  links: async () => links,
});

type Loaded = Parameters<typeof chooseProvider>[2];
function loaded(
  values: Partial<Loaded['values']> = {},
  origins: Readonly<Record<string, Origin>> = {},
): Loaded {
  return {
    values: { provider: 'flannel', set: {}, only: [], ignore: [], ...values } as Loaded['values'],
    origins,
  };
}

describe('what runs here', () => {
  test('a flannel device betrays Flannel, or Canal with the devices of Calico', async () => {
    const alone = await detectHere(catalogue, host([eth0, flannel]));
    expect(chooseDetected(alone)).toBe('flannel');
    const both = await detectHere(
      catalogue,
      host([eth0, flannel, { ...eth0, index: 9, name: 'cali0123456789a' }]),
    );
    expect(chooseDetected(both)).toBe('canal');
  });

  test('nothing betrays nothing', async () => {
    const found = await detectHere(catalogue, host([eth0]));
    expect(found).toEqual([]);
    expect(chooseDetected(found)).toBeUndefined();
  });

  test('a file that may not be looked at betrays nothing, and the links still do', async () => {
    const closed = {
      ...host([flannel]),
      exists: async () => {
        throw new HostError('EACCES', 'no');
      },
    };
    expect(chooseDetected(await detectHere(catalogue, closed))).toBe('flannel');
  });

  test('a bug is not taken for a closed file', async () => {
    const broken = {
      ...host([flannel]),
      exists: async () => {
        throw new TypeError('a bug');
      },
    };
    await expect(detectHere(catalogue, broken)).rejects.toThrow('a bug');
  });
});

describe('a provider that is chosen', () => {
  test('takes its defaults where nothing runs and nothing is set', () => {
    const { facts, resolved, requirements } = chooseProvider(
      catalogue,
      'flannel',
      loaded(),
      [],
      [],
    );
    expect(facts).toMatchObject({
      provider: 'flannel',
      encapsulation: 'vxlan',
      vni: 1,
      port: 8472,
    });
    expect(resolved.options['tunnelPort']).toBe(8472);
    expect(requirements.some(({ kind }) => kind === 'udp-port')).toBe(true);
  });

  test('takes what runs here over its defaults', async () => {
    const links = [eth0, flannel];
    const detected = await detectHere(catalogue, host(links));
    const { facts } = chooseProvider(catalogue, 'flannel', loaded(), detected, links);
    expect(facts).toMatchObject({ vni: 4096, port: 4789, mtu: 1410 });
  });

  test('takes what is set over what runs here, and agrees on what really runs', async () => {
    const links = [eth0, flannel];
    const detected = await detectHere(catalogue, host(links));
    const set = loaded({ set: { tunnelPort: '9999' } });
    const { facts, resolved } = chooseProvider(catalogue, 'flannel', set, detected, links);
    expect(resolved.options['tunnelPort']).toBe(9999);
    // The peers are told of the device, for that is what their packets meet.
    expect(facts.port).toBe(4789);
  });

  test('does not take the options of another provider that runs here', async () => {
    const links = [eth0, flannel];
    const detected = await detectHere(catalogue, host(links));
    const { resolved } = chooseProvider(catalogue, 'cilium', loaded(), detected, links);
    expect(resolved.options['tunnelPort']).toBe(8472);
  });

  test('follows the distribution', () => {
    const rke2 = loaded({ distribution: 'rke2' });
    const { resolved } = chooseProvider(catalogue, 'flannel', rke2, [], []);
    expect(resolved.options['tunnelPort']).toBe(4789);
  });

  test.each<{ provider: string; origins: Readonly<Record<string, Origin>>; want: string }>([
    { provider: 'auto', origins: { provider: 'flag' }, want: 'detected' },
    { provider: 'flannel', origins: { provider: 'flag' }, want: 'flag' },
    { provider: 'flannel', origins: { provider: 'file' }, want: 'file' },
    { provider: 'flannel', origins: {}, want: 'default' },
  ])('says where the choice of $provider came from: $want', ({ provider, origins, want }) => {
    const { source } = chooseProvider(catalogue, 'flannel', loaded({ provider }, origins), [], []);
    expect(source).toBe(want);
  });

  test('keeps only the requirements that are wanted', () => {
    const only = loaded({ only: ['udp-port'] });
    const { requirements } = chooseProvider(catalogue, 'flannel', only, [], []);
    expect(requirements.length).toBeGreaterThan(0);
    expect(requirements.every(({ kind }) => kind === 'udp-port')).toBe(true);
    const ignore = loaded({ ignore: requirements.map(({ id }) => id) });
    const rest = chooseProvider(catalogue, 'flannel', ignore, [], []).requirements;
    expect(rest.some(({ id }) => requirements.some((one) => one.id === id))).toBe(false);
  });

  test('knows the devices whose addresses it answers on', () => {
    const { overlayDevices } = chooseProvider(catalogue, 'flannel', loaded(), [], []);
    expect(overlayDevices.tunnels).toContain('flannel.1');
    expect(overlayDevices.bridges).toEqual(['cni0']);
    expect(overlayDevices.subnetFiles).toEqual(['/run/flannel/subnet.env']);
  });
});

test('every provider that a distribution has is among the names for it', () => {
  expect(namesOf(catalogue, { distribution: undefined })).toEqual([...catalogue.providers.keys()]);
  const k3s = namesOf(catalogue, { distribution: 'k3s' });
  expect(k3s).toContain('flannel');
  expect(k3s.length).toBeLessThanOrEqual(catalogue.providers.size);
});

test('nothing detected says what to type', () => {
  const { message } = nothingDetected(catalogue);
  for (const name of catalogue.providers.keys()) expect(message).toContain(name);
  expect(message).toContain('--provider all');
});
