import { describe, expect, test } from 'vitest';
import { parseOsRelease } from '../../../../checks/host/os.ts';

describe('os-release', () => {
  test('quotes and escapes are those of the shell', () => {
    const fields = parseOsRelease(
      `# comment\nID=debian\nNAME="A \\"B\\" \\$C"\nX='it\\s'\nBAD LINE\nEMPTY=\nlower=no\n`,
    );
    expect(Object.fromEntries(fields)).toEqual({
      ID: 'debian',
      NAME: 'A "B" $C',
      X: 'it\\s',
      EMPTY: '',
    });
  });
});
