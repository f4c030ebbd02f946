/** @module What every provider needs, added to each of them. Pure. */
import type { RuleOwners } from './rule-owners.ts';
import type {
  Catalogue,
  CatalogueRequirement,
  CommonRequirement,
  Feature,
  Provider,
} from './schema.ts';

/** Puts a catalogue together: providers as their files have them, and what all of them need. */
export function assembleCatalogue(parts: {
  readonly written: ReadonlyMap<string, Provider>;
  readonly common: ReadonlyMap<string, CommonRequirement>;
  readonly features: ReadonlyMap<string, Feature>;
  readonly ruleOwners: RuleOwners;
}): Catalogue {
  const { common, features, ruleOwners } = parts;
  const written = new Map([...parts.written].sort(([left], [right]) => left.localeCompare(right)));
  const providers = new Map(
    [...written].map(([name, provider]) => [name, withCommon(provider, [...common.values()])]),
  );
  return { providers, written, common, features, ruleOwners };
}

/** Adds what every provider needs, each in its place by id. What the provider says itself stands as it is. */
function withCommon(provider: Provider, common: readonly CommonRequirement[]): Provider {
  const requirements = [...provider.requirements];
  for (const { suffix, ...rest } of common) {
    const added: CatalogueRequirement = { ...rest, id: `${provider.provider}.${suffix}` };
    if (requirements.some(({ id }) => id === added.id)) continue;
    const next = requirements.findIndex(({ id }) => id > added.id);
    requirements.splice(next < 0 ? requirements.length : next, 0, added);
  }
  return { ...provider, requirements };
}
