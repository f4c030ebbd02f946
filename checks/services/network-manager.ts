/** @module Whether NetworkManager leaves the devices of a CNI alone: what it is told, and what it does. */
import { type Answer, fail, pass, skip, unknown } from '../check.ts';
import type { Host, Link } from '../host/host.ts';
import { matchesGlob, parseSettings, readDropIns, serviceState } from './state.ts';

const deviceStates = '/run/NetworkManager/devices';
const mainFile = '/etc/NetworkManager/NetworkManager.conf';
const vendorDirectories = ['/usr/lib/NetworkManager/conf.d', '/run/NetworkManager/conf.d'] as const;
const ownDirectory = '/etc/NetworkManager/conf.d';

/** Whether it has put one of its own profiles on a device of the provider: it takes away what is not in the profile, now and then. */
export async function judgeManagedDevices(host: Host, devices: readonly Link[]): Promise<Answer> {
  const state = await managerState(host);
  if (state !== 'running') return notRunning(state);
  if (devices.length === 0) return skip('no-overlay-device');
  const managed: string[] = [];
  for (const { index, name } of devices) {
    const text = await host.readText(`${deviceStates}/${index}`);
    if (text !== undefined && hasProfile(text)) managed.push(name);
  }
  if (managed.length === 0) return pass({ manager: 'NetworkManager', devices: devices.length });
  return fail(
    'networkmanager-manages',
    { devices: managed.slice(0, 8).join(','), count: managed.length },
    { where: 'node', node: 'this' },
  );
}

/** A device that others made has no profile of its own (`connected (externally)`), and is left as it is. */
function hasProfile(text: string): boolean {
  const settings = parseSettings(text);
  const value = (key: string): string | undefined =>
    settings.find((one) => one.section === 'device' && one.key === key)?.value;
  return value('managed') === 'true' && (value('connection-uuid') ?? '') !== '';
}

/** Whether it is told to leave the provider's devices alone. */
export async function judgeConfiguration(
  host: Host,
  interfaces: readonly string[],
): Promise<Answer> {
  const state = await managerState(host);
  if (state !== 'running') return notRunning(state);
  const configuration = await readConfiguration(host);
  const open = interfaces.filter((pattern) => !isLeftAlone(configuration, sampleOf(pattern)));
  if (open.length === 0) return pass({ manager: 'NetworkManager', devices: interfaces.join(',') });
  return fail(
    'networkmanager-not-told',
    { devices: open.join(','), all: interfaces.map((name) => `interface-name:${name}`).join(';') },
    { where: 'node', node: 'this' },
    [
      {
        manager: 'networkmanager',
        commands: [
          `printf '[keyfile]\\nunmanaged-devices+=%s\\n' '${interfaces.map((name) => `interface-name:${name}`).join(';')}' >${ownDirectory}/90-cni.conf`,
          'systemctl reload NetworkManager',
        ],
      },
    ],
  );
}

async function managerState(host: Host): ReturnType<typeof serviceState> {
  const state = await serviceState(host, 'NetworkManager.service');
  // Its own directory is there while it runs, and until the next boot.
  return state === 'unknown' && (await host.exists(deviceStates)) ? 'running' : state;
}

function notRunning(state: 'stopped' | 'unknown'): Answer {
  const evidence = { service: 'NetworkManager' };
  return state === 'stopped'
    ? skip('not-applicable', evidence)
    : unknown('service-undetermined', evidence);
}

/** What is left alone: lists of device specifications (NetworkManager.conf(5), "Device List Format"). */
interface Configuration {
  readonly unmanaged: readonly string[];
  /** `match-device` of sections `device` that say `managed=0`. */
  readonly sections: readonly (readonly string[])[];
}

async function readConfiguration(host: Host): Promise<Configuration> {
  const own = await host.readText(mainFile);
  const files = [
    ...(await readDropIns(host, vendorDirectories, '.conf')),
    ...(own === undefined ? [] : [{ path: mainFile, text: own }]),
    ...(await readDropIns(host, [ownDirectory], '.conf')),
  ];
  let unmanaged: readonly string[] = [];
  const sections: (readonly string[])[] = [];
  for (const { text } of files) {
    const settings = parseSettings(text);
    for (const { section, key, value } of settings) {
      if (section === 'keyfile' && key === 'unmanaged-devices') unmanaged = specifications(value);
      if (section === 'keyfile' && key === 'unmanaged-devices+')
        unmanaged = [...unmanaged, ...specifications(value)];
    }
    for (const section of new Set(settings.map((one) => one.section))) {
      if (!section.startsWith('device')) continue;
      const value = (key: string): string =>
        settings.findLast((one) => one.section === section && one.key === key)?.value ?? '';
      if (/^(0|false|no|off)$/i.test(value('managed')))
        sections.push(specifications(value('match-device')));
    }
  }
  return { unmanaged, sections };
}

function specifications(value: string): readonly string[] {
  return value
    .split(/[;,]/)
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

function isLeftAlone({ unmanaged, sections }: Configuration, name: string): boolean {
  return [unmanaged, ...sections].some((list) => isMatched(list, name));
}

/** A list with an exception that fits does not match, wherever the exception stands. */
function isMatched(list: readonly string[], name: string): boolean {
  const exceptions = list.flatMap((one) => (one.startsWith('except:') ? [one.slice(7)] : []));
  if (exceptions.some((one) => fitsByName(one, name))) return false;
  return list.some(
    (one) => !one.startsWith('except:') && (fitsByName(one, name) || fitsByKind(one)),
  );
}

function fitsByName(specification: string, name: string): boolean {
  if (specification === '*' || specification === name) return true;
  const named = /^interface-name:([=~]?)(.*)$/.exec(specification);
  if (named === null) return false;
  return named[1] === '=' ? named[2] === name : matchesGlob(named[2] ?? '', name);
}

/** Of what kind a device will be is not known before it is there: whoever lists kinds has thought of it. */
function fitsByKind(specification: string): boolean {
  return (
    /^(type|driver):/.test(specification) && !/^type:(ethernet|wifi|gsm|cdma)$/.test(specification)
  );
}

/** A name that the pattern stands for. */
export function sampleOf(pattern: string): string {
  return pattern.endsWith('*') ? `${pattern.slice(0, -1)}1` : pattern;
}
