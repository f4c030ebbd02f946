/** @module Which provider, with which options and requirements: as asked for, or as found on this node. */
import type { OverlayFacts } from '../checks/check.ts';
import type { Host, Link } from '../checks/host/host.ts';
import { HostError } from '../checks/host/host.ts';
import type { OverlayDevices } from '../checks/overlay/ends.ts';
import {
  type DetectedProvider,
  detectProviders,
  filesToLookFor,
  matchesName,
} from '../rules/detect.ts';
import { firewallSuffix, withFirewallRequirements } from '../rules/firewall.ts';
import {
  type ResolvedProvider,
  requirementIds,
  resolveProvider,
  SelectionError,
  selectRequirements,
} from '../rules/resolve.ts';
import type { Catalogue, OptionValue, Requirement } from '../rules/schema.ts';
import type { Configuration, LoadedConfiguration } from './config.ts';
import type { OptionSource } from './model.ts';

/** A provider chosen for this node. */
export interface ChosenProvider {
  readonly name: string;
  readonly resolved: ResolvedProvider;
  readonly source: OptionSource;
  readonly requirements: readonly Requirement[];
  readonly facts: OverlayFacts;
  /** What belongs to its overlay on this node. */
  readonly overlayDevices: OverlayDevices;
}

/** Looks for providers that run here, best proven first. */
export async function detectHere(
  catalogue: Catalogue,
  host: Pick<Host, 'exists' | 'links'>,
): Promise<readonly DetectedProvider[]> {
  const files = new Set<string>();
  for (const path of filesToLookFor(catalogue)) {
    try {
      if (await host.exists(path)) files.add(path);
    } catch (error) {
      // What may not be looked at betrays nothing; links may.
      if (!(error instanceof HostError)) throw error;
    }
  }
  return detectProviders(catalogue, { files, links: await host.links() });
}

/** Settles a provider by name; what runs here of it decides its options, unless they were set. */
export function chooseProvider(
  catalogue: Catalogue,
  name: string,
  { values, origins }: Pick<LoadedConfiguration, 'values' | 'origins'>,
  detected: readonly DetectedProvider[],
  links: readonly Link[],
): ChosenProvider {
  const running = detected.find(({ provider }) => provider === name);
  const resolved = resolveProvider(catalogue, {
    provider: name,
    distribution: values.distribution,
    set: values.set,
    detected: running,
  });
  return {
    name,
    resolved,
    source: values.provider === 'auto' ? 'detected' : (origins['provider'] ?? 'default'),
    requirements: selectRequirements(withFirewallRequirements(resolved.requirements), {
      only: values.only,
      ignore: values.ignore,
      known: requirementIds(catalogue).flatMap((id) => [id, `${id}${firewallSuffix}`]),
    }),
    facts: factsOf(name, resolved, links),
    overlayDevices: overlayDevicesOf(resolved),
  };
}

/** Chooses for `auto`: what runs here, or undefined. */
export function chooseDetected(detected: readonly DetectedProvider[]): string | undefined {
  return detected[0]?.provider;
}

/** Says what to type where `auto` found nothing. */
export function nothingDetected(catalogue: Catalogue): SelectionError {
  const names = [...catalogue.providers.keys()].join(', ');
  return new SelectionError(
    `no CNI provider runs on this node yet, so name the one that you want to install: --provider NAME, one of ${names}; or --provider all for every one of them`,
  );
}

/** `--provider all` has no use for options of one provider. */
export function namesOf(
  catalogue: Catalogue,
  { distribution }: Pick<Configuration, 'distribution'>,
): string[] {
  return [...catalogue.providers.values()]
    .filter(
      ({ distributions }) => distribution === undefined || distributions.includes(distribution),
    )
    .map(({ provider }) => provider);
}

function factsOf(
  name: string,
  { options, provider }: ResolvedProvider,
  links: readonly Link[],
): OverlayFacts {
  const device = links.find((link) =>
    provider.detect.links.some(
      (rule) => rule.read?.port !== undefined && matchesName(rule.name, link.name),
    ),
  );
  return {
    provider: name,
    encapsulation: text(options['encapsulation']),
    vni: device?.vni ?? number(options['vni']),
    port: device?.port ?? number(options['tunnelPort']),
    mtu: device?.mtu ?? number(options['mtu']),
  };
}

function overlayDevicesOf({ requirements }: ResolvedProvider): OverlayDevices {
  const paths = requirements.flatMap((one) => (one.kind === 'overlay-path' ? [one.params] : []));
  const states = requirements.flatMap((one) => (one.kind === 'overlay-state' ? [one.params] : []));
  return {
    tunnels: unique(paths.filter(({ pods }) => pods !== true).flatMap(({ devices }) => devices)),
    bridges: unique(paths.filter(({ pods }) => pods === true).flatMap(({ devices }) => devices)),
    subnetFiles: unique(states.flatMap(({ subnetFiles = [] }) => subnetFiles)),
  };
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}

function text(value: OptionValue | undefined): string {
  return value === undefined ? '' : `${value}`;
}

function number(value: OptionValue | undefined): number {
  return typeof value === 'number' ? value : 0;
}
