/** @module The comparison table of providers, as data for whoever renders it. Pure. */
import type { Catalogue, Features, Provider } from './schema.ts';

/** A table to be rendered: cells are text without padding. */
export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The columns of the table, in the order in which Rancher's documentation has them. */
const columns: readonly {
  readonly title: string;
  readonly feature: keyof Features;
}[] = [
  { title: 'Network Model', feature: 'networkModel' },
  { title: 'Route Distribution', feature: 'routeDistribution' },
  { title: 'Network Policies', feature: 'networkPolicies' },
  { title: 'Mesh', feature: 'mesh' },
  { title: 'External Datastore', feature: 'externalDatastore' },
  { title: 'Encryption', feature: 'encryption' },
  { title: 'Ingress/Egress Policies', feature: 'ingressEgressPolicies' },
];

/** Puts what each provider of the catalogue can do side by side. */
export function comparisonTable(catalogue: Catalogue): Table {
  return {
    header: ['Provider', ...columns.map(({ title }) => title)],
    rows: inTableOrder([...catalogue.providers.values()]).map((provider) => [
      provider.title,
      ...columns.map(({ feature }) => provider.features[feature]),
    ]),
  };
}

/** Sorts providers as the comparison table lists them: by their `order`, then by name. */
export function inTableOrder(providers: readonly Provider[]): Provider[] {
  return [...providers].sort(
    (left, right) =>
      (left.order ?? Number.MAX_SAFE_INTEGER) - (right.order ?? Number.MAX_SAFE_INTEGER) ||
      left.provider.localeCompare(right.provider),
  );
}
