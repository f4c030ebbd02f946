/** @module The package yaml, loaded when there is YAML to read or to write: 6 MB that most agents have no use for. */
import { createRequire } from 'node:module';

/** At once, as reading a configuration does not wait; the runtime loads it one time only. */
export function loadYaml(): typeof import('yaml') {
  return createRequire(import.meta.url)('yaml') as typeof import('yaml');
}
