// The components' styles, made by scripts/antd.mjs.
declare module 'virtual:antd.css'
