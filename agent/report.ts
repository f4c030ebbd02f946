/** @module The report in the format that was asked for. Pure. */
import { loadYaml } from '../rules/yaml.ts';
import type { Format } from './config.ts';
import type { StatusDocument } from './model.ts';
import { renderJunit } from './report-junit.ts';
import { renderText, type TextOptions } from './report-text.ts';
import { publicDocument } from './status-schema.ts';

/** Renders a document, ending with a newline. */
export function renderReport(
  document: StatusDocument,
  { format, ...text }: TextOptions & { readonly format: Format },
): string {
  switch (format) {
    case 'text':
      return renderText(document, text);
    case 'json':
      return `${JSON.stringify(publicDocument(document), null, 2)}\n`;
    case 'yaml':
      // Without anchors: the same option or source may occur many times.
      return loadYaml().stringify(publicDocument(document), {
        aliasDuplicateObjects: false,
        lineWidth: 0,
      });
    case 'junit':
      return renderJunit(document);
  }
}
