/** @module Compares one kernel setting with the values that a provider can work with. */
import { type Check, fail, pass, skip } from './check.ts';
import type { Remedy } from './remedy/remedy.ts';
import { setInFiles, setNow, sysctlRemedy } from './settings/cure.ts';
import { readableSettingsFiles } from './settings/read.ts';

/** Compares one kernel setting with the values that a provider can work with. */
export const sysctl: Check<'sysctl'> = {
  kind: 'sysctl',
  summary: 'a kernel setting has a value that the provider can work with',
  scope: 'node',
  needs: [],

  // Keys are written with slashes, as sysctl(8) allows: an interface name may contain dots.
  async run({ key, values, absent, setBy }, _target, { host }) {
    if (key.split('/').includes('..')) throw new RangeError(`sysctl key ${JSON.stringify(key)}`);
    const wanted = { key, want: values.join(',') };
    const text = await host.readText(`/proc/sys/${key}`);
    if (text === undefined) {
      if (absent === 'skip') return skip('sysctl-not-available', wanted);
      return fail('sysctl-absent', wanted, { where: 'node', node: 'this' }, bringing(key));
    }
    const found = normalized(text);
    const evidence = { ...wanted, found };
    if (values.some((value) => normalized(value) === found)) return pass(evidence);
    // The provider sets it when it starts, so today's value says nothing about the day it runs.
    if (setBy !== undefined) return skip('not-applicable', { ...evidence, setBy });
    const [value = ''] = values;
    const files = await readableSettingsFiles(host);
    const remedy = sysctlRemedy(
      ...setNow(key, value),
      ...setInFiles({ keys: [key], value }, files, 'always'),
    );
    return fail('sysctl-differs', evidence, { where: 'node', node: 'this' }, remedy);
  },
};

/** The settings of bridges come with a module. */
function bringing(key: string): readonly Remedy[] {
  if (!key.startsWith('net/bridge/')) return [];
  const commands = [
    'modprobe br_netfilter',
    'echo br_netfilter > /etc/modules-load.d/br_netfilter.conf',
  ];
  return [{ manager: 'modprobe', commands }];
}

/** Settings of several numbers are written with tabs by the kernel and with spaces by people. */
function normalized(value: string): string {
  return value.trim().replaceAll(/\s+/g, ' ');
}
