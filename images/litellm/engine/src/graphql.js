// From the GraphQL text that prisma-client-py writes to the JSON protocol, the only one the WebAssembly engine reads.
import { parse } from 'graphql/language/parser.js'
import { argumentsOf } from './arguments.js'

export class UnsupportedQuery extends Error {}

const RAW = new Set(['queryRaw', 'executeRaw'])
const PREFIXED = ['findUnique', 'findFirst', 'findMany', 'createOne', 'createMany', 'updateOne', 'updateMany']
  .concat(['deleteOne', 'deleteMany', 'upsertOne', 'aggregate', 'groupBy'])
const SUFFIXED = [['findUnique', 'OrThrow'], ['findFirst', 'OrThrow'], ['createMany', 'AndReturn']]

export class Translator {
  #models
  #operations = new Map()

  constructor(models) {
    this.#models = models
    for (const model of models.keys()) {
      for (const action of PREFIXED) this.#operations.set(action + model, { action, model })
      for (const [head, tail] of SUFFIXED) this.#operations.set(head + model + tail, { action: head + tail, model })
    }
  }

  /** {name: the key the caller reads the answer under, raw: is it SQL, request: the JSON protocol's body}. */
  translate(text) {
    const [definition, ...others] = parse(text, { noLocation: true }).definitions
    const selections = definition?.selectionSet?.selections ?? []
    if (others.length || selections.length !== 1) throw new UnsupportedQuery('expected one operation with one field')
    const field = selections[0]
    const name = (field.alias ?? field.name).value
    if (RAW.has(field.name.value)) {
      const query = { arguments: argumentsOf(field.arguments, null, this.#models), selection: {} }
      return { name, raw: true, request: { action: field.name.value, query } }
    }
    const operation = this.#operations.get(field.name.value)
    if (!operation) throw new UnsupportedQuery(`unknown operation ${field.name.value}`)
    const query = this.#body(field, operation.model)
    return { name, raw: false, request: { modelName: operation.model, action: operation.action, query } }
  }

  #body(field, model) {
    return {
      arguments: argumentsOf(field.arguments ?? [], model, this.#models),
      selection: this.#selection(field.selectionSet?.selections ?? [], model),
    }
  }

  #selection(fields, model) {
    const selection = {}
    for (const field of fields) {
      if (field.kind !== 'Field' || field.alias) throw new UnsupportedQuery('fragments and inner aliases')
      const plain = !field.selectionSet && !field.arguments?.length
      const declared = this.#models.get(model)?.get(field.name.value)
      selection[field.name.value] = plain || this.#body(field, declared?.relation ? declared.type : model)
    }
    return selection
  }
}
