/** @module Tells whether the files of sysctl.d leave a kernel setting as the provider needs it. */
import { type Check, fail, pass } from './check.ts';
import { setInFiles, sysctlRemedy } from './settings/cure.ts';
import { type EffectiveSetting, effectiveOf, settingsReaders } from './settings/effective.ts';
import { readSettingsFiles } from './settings/read.ts';

/** Tells what the next boot, the next `sysctl --system` and each new device would do to a setting. */
export const sysctlFiles: Check<'sysctl-files'> = {
  kind: 'sysctl-files',
  summary: 'no file of sysctl.d sets a kernel setting to what the provider cannot work with',
  scope: 'node',
  needs: [],

  async run({ keys, values }, _target, { host }) {
    const files = await readSettingsFiles(host);
    const wanted = { key: keys.join(','), want: values.join(',') };
    const found = settingsReaders.flatMap((reader) => {
      const setting = effectiveOf(files, keys, reader);
      return setting === undefined ? [] : [{ reader, ...setting }];
    });
    const wrong = found.filter(({ value }) => !values.includes(value));
    const [first] = wrong;
    if (first === undefined)
      return pass({ ...wanted, ...(found[0] === undefined ? {} : said(found[0])) });
    const commands = setInFiles({ keys, value: values[0] ?? '' }, files, 'if-set');
    const readers = wrong.length === found.length ? {} : { reader: first.reader };
    return fail(
      'sysctl-file-differs',
      { ...wanted, ...said(first), ...readers },
      { where: 'node', node: 'this' },
      sysctlRemedy(...commands),
    );
  },
};

function said({ value, file, line }: EffectiveSetting): Readonly<Record<string, string | number>> {
  return { found: value, file, line };
}
