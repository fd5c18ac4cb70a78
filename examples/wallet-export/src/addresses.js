// Where everything is; serve.mjs puts it in.

export const gateway = process.env.GATEWAY
export const login = process.env.LOGIN
export const environmentId = process.env.ENVIRONMENT_ID
