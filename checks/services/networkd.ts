/** @module Whether systemd-networkd leaves the devices, routes and policy rules of a CNI alone. */
import { type Answer, fail, pass, skip, unknown } from '../check.ts';
import type { Host, Link } from '../host/host.ts';
import { sampleOf } from './network-manager.ts';
import { matchesGlob, parseSettings, readDropIns, type Setting, serviceState } from './state.ts';

const runtime = '/run/systemd/netif';
/** The later directory counts more (networkd.conf(5), systemd.network(5)). */
const systemDirectories = [
  '/usr/lib/systemd',
  '/usr/local/lib/systemd',
  '/run/systemd',
  '/etc/systemd',
];

async function networkdState(host: Host): ReturnType<typeof serviceState> {
  const state = await serviceState(host, 'systemd-networkd.service');
  return state === 'unknown' && (await host.exists(`${runtime}/links`)) ? 'running' : state;
}

function notRunning(state: 'stopped' | 'unknown'): Answer {
  const evidence = { service: 'systemd-networkd' };
  return state === 'stopped'
    ? skip('not-applicable', evidence)
    : unknown('service-undetermined', evidence);
}

/** Whether a file of it is for a device of the provider: it then takes away addresses and routes that are not in the file. */
export async function judgeNetworkFiles(
  host: Host,
  devices: readonly Link[],
  interfaces: readonly string[],
): Promise<Answer> {
  const state = await networkdState(host);
  if (state !== 'running') return notRunning(state);
  for (const { index, name } of devices) {
    const link = parseSettings((await host.readText(`${runtime}/links/${index}`)) ?? '');
    const value = (key: string): string => link.find((one) => one.key === key)?.value ?? '';
    if (value('NETWORK_FILE') === '' || value('ADMIN_STATE') === 'unmanaged') continue;
    return manages(name, value('NETWORK_FILE'));
  }
  if (devices.length > 0) return pass({ manager: 'systemd-networkd', devices: devices.length });
  return await judgeFilesAhead(host, interfaces);
}

async function judgeFilesAhead(host: Host, interfaces: readonly string[]): Promise<Answer> {
  const directories = systemDirectories.map((directory) => `${directory}/network`);
  const files = await readDropIns(host, directories, '.network');
  for (const pattern of interfaces) {
    const name = sampleOf(pattern);
    // The first file that matches is the one, so what cannot be judged ends the search.
    const first = files.find(({ text }) => matchOf(text, name) !== 'no');
    if (first === undefined || matchOf(first.text, name) !== 'yes') continue;
    return manages(pattern, first.path);
  }
  return pass({ manager: 'systemd-networkd', devices: interfaces.join(',') });
}

function manages(device: string, file: string): Answer {
  return fail('networkd-manages', { device, file }, { where: 'node', node: 'this' }, [
    {
      manager: 'systemd',
      commands: [
        `printf '[Match]\\nName=%s\\n[Link]\\nUnmanaged=yes\\n' '${device}' >/etc/systemd/network/01-cni.network`,
        'networkctl reload',
      ],
    },
  ]);
}

/** Whether networkd would take this file for the device; `maybe` where more than its name decides. `no` also for one that leaves it alone. */
function matchOf(text: string, name: string): 'yes' | 'no' | 'maybe' {
  const settings = parseSettings(text);
  const match = settings.filter(({ section }) => section === 'Match');
  const names = match
    .filter(({ key }) => key === 'Name')
    .flatMap(({ value }) => value.split(/\s+/));
  if (names.length > 0 && !isNamed(names, name)) return 'no';
  const isElse = match.some(({ key }) => key !== 'Name') || names.length === 0;
  const isUnmanaged = settings.some(
    ({ section, key, value }) => section === 'Link' && key === 'Unmanaged' && isTrue(value),
  );
  return isElse || isUnmanaged ? 'maybe' : 'yes';
}

/** A list that starts with an exclamation mark is about all other names. */
function isNamed(names: readonly string[], name: string): boolean {
  const [first = ''] = names;
  if (!first.startsWith('!')) return names.some((glob) => matchesGlob(glob, name));
  return ![first.slice(1), ...names.slice(1)].some((glob) => matchesGlob(glob, name));
}

const foreignKeys = ['ManageForeignRoutes', 'ManageForeignRoutingPolicyRules'] as const;

/** Whether it keeps its hands off routes and policy rules of others. It does not, unless it is told so. */
export async function judgeForeign(host: Host): Promise<Answer> {
  const state = await networkdState(host);
  if (state !== 'running') return notRunning(state);
  const settings: Setting[] = [];
  for (const directory of systemDirectories)
    settings.push(...parseSettings((await host.readText(`${directory}/networkd.conf`)) ?? ''));
  const directories = systemDirectories.map((directory) => `${directory}/networkd.conf.d`);
  for (const { text } of await readDropIns(host, directories, '.conf'))
    settings.push(...parseSettings(text));
  const removed = foreignKeys.filter((name) => {
    const last = settings.findLast(({ section, key }) => section === 'Network' && key === name);
    return last === undefined || isTrue(last.value) || last.value === '';
  });
  if (removed.length === 0) return pass({ manager: 'systemd-networkd' });
  return fail(
    'networkd-removes-foreign',
    { settings: removed.join(',') },
    { where: 'node', node: 'this' },
    [
      {
        manager: 'systemd',
        commands: [
          'mkdir -p /etc/systemd/networkd.conf.d',
          `printf '[Network]\\nManageForeignRoutes=no\\nManageForeignRoutingPolicyRules=no\\n' >/etc/systemd/networkd.conf.d/10-cni.conf`,
          'systemctl restart systemd-networkd',
        ],
      },
    ],
  );
}

function isTrue(value: string): boolean {
  return /^(1|yes|y|true|t|on)$/i.test(value.trim());
}
