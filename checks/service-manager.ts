/** @module Whether services of the host that look after networks leave the work of a CNI alone. */
import { matchesName } from '../rules/detect.ts';
import { type Answer, type Check, fail, pass, unknown } from './check.ts';
import type { Host } from './host/host.ts';
import { judgeReload } from './services/firewall-reload.ts';
import { judgeConfiguration, judgeManagedDevices } from './services/network-manager.ts';
import { judgeForeign, judgeNetworkFiles } from './services/networkd.ts';
import { enabledUnits } from './services/state.ts';

/** Whether services of the host that look after networks leave the work of a CNI alone. */
export const serviceManager: Check<'service-manager'> = {
  kind: 'service-manager',
  summary: 'services of the host leave the devices, routes and rules of a CNI alone',
  scope: 'node',
  needs: [],

  async run({ service }, _target, { host, interfaces, ruleOwners }) {
    const devices = async () =>
      (await host.links()).filter(({ name }) =>
        interfaces.some((pattern) => matchesName(pattern, name)),
      );
    switch (service) {
      case 'networkmanager':
        return await judgeManagedDevices(host, await devices());
      case 'networkmanager-configuration':
        return await judgeConfiguration(host, interfaces);
      case 'nm-cloud-setup':
        return await judgeCloudSetup(host);
      case 'networkd':
        return await judgeNetworkFiles(host, await devices(), interfaces);
      case 'networkd-configuration':
        return await judgeForeign(host);
      case 'firewall-reload':
        return await judgeReload(host, ruleOwners);
    }
  },
};

/** nm-cloud-setup looks at the addresses of a cloud's instance every few minutes, and writes policy rules and routes for them. */
async function judgeCloudSetup(host: Host): Promise<Answer> {
  const enabled = await enabledUnits(host);
  if (enabled === undefined) return unknown('service-undetermined', { service: 'nm-cloud-setup' });
  const units = ['nm-cloud-setup.service', 'nm-cloud-setup.timer'].filter((unit) =>
    enabled.has(unit),
  );
  if (units.length === 0) return pass({ manager: 'nm-cloud-setup' });
  return fail(
    'nm-cloud-setup-enabled',
    { units: units.join(',') },
    { where: 'node', node: 'this' },
    [{ manager: 'systemd', commands: [`systemctl disable --now ${units.join(' ')}`] }],
  );
}
