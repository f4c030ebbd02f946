/** @module `cni-preflight config`: the effective configuration and where each value came from. */
import { openCatalogue } from '../rules/catalogue.ts';
import { resolveProvider } from '../rules/resolve.ts';
import type { Configuration, LoadedConfiguration } from './config.ts';
import { type SettingName, settings, twinOf } from './settings.ts';
import { renderTable } from './text-layout.ts';

/** Lists every setting with its value, its origin and the names of its flag and its variable. Never the key. */
export async function configText(loaded: LoadedConfiguration): Promise<string> {
  const { values, origins } = loaded;
  const rows = settings.map(({ name, flag }) => [
    name,
    valueText(name, values),
    origins[name] ?? 'default',
    `--${flag}`,
    twinOf(flag),
  ]);
  const lines = [
    `configuration file: ${values.configFile ?? 'none'}`,
    '',
    renderTable({ header: ['setting', 'value', 'from', 'flag', 'environment'], rows }),
  ];
  const options = await optionRows(loaded);
  if (options.length > 0) {
    lines.push(
      '',
      `options of ${values.provider} (without what the node itself tells)`,
      '',
      renderTable({ header: ['option', 'value', 'from'], rows: options }),
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Options of a provider that was named; `auto` settles its own only on the node. */
async function optionRows({ values, origins }: LoadedConfiguration): Promise<string[][]> {
  const catalogue = await openCatalogue({
    directories: values.rules === undefined ? [] : [values.rules],
  });
  if (values.provider === 'auto' || values.provider === 'all') return [];
  const { provider, distribution, set } = values;
  const resolved = resolveProvider(catalogue, { provider, distribution, set });
  return Object.entries(resolved.options).map(([name, value]) => [
    name,
    String(value),
    origins[`set.${name}`] ?? resolved.origins[name] ?? 'default',
  ]);
}

/** A value as it could be written in the environment. */
function valueText(name: SettingName, values: Configuration): string {
  switch (name) {
    case 'set':
      return Object.entries(values.set)
        .map(([option, value]) => `${option}=${value}`)
        .join(',');
    case 'peers':
      return values.peers
        .flatMap(({ name: peer, addresses }) =>
          [addresses.ipv4, addresses.ipv6].flatMap((address) =>
            address === undefined ? [] : [address === peer ? address : `${address}=${peer}`],
          ),
        )
        .join(',');
    case 'listen':
      return values.listen
        .map(({ address, port }) => `${address.includes(':') ? `[${address}]` : address}:${port}`)
        .join(',');
    case 'timeout':
      return String(values.timeoutSeconds);
    case 'wait':
      return String(values.waitSeconds);
    case 'interval':
      return String(values.intervalSeconds);
    case 'only':
    case 'ignore':
    case 'discoverName':
      return values[name].join(',');
    case 'provider':
    case 'peersFile':
    case 'distribution':
    case 'strict':
    case 'tryModules':
    case 'format':
    case 'rules':
    case 'noColor':
    case 'keyFile':
    case 'discover':
    case 'nodeName':
    case 'logLevel':
      return String(values[name] ?? '');
  }
}
