import { messages } from './i18n'

export const texts = messages(
  {
    unknown: (namespace: string) => `There is no namespace ${namespace}`,
    unknownText: 'It was deleted, or its name in the address is misspelt. Go to one that there is, or create it.',
    forbidden: (namespace: string) => `You may not look into the namespace ${namespace}`,
    others: 'Namespaces that you may see',
    none: 'There is none that you may see.',
    create: 'Create it…',
    createTitle: (namespace: string) => `Create the namespace ${namespace}`,
    createWhat:
      'It begins empty: services may then register in it, and documents be published. It can be deleted again as long as nothing lives in it.',
    createAction: 'Create',
    needs: 'Needs the role admin in every namespace',
    command: 'Or by the command line',
  },
  {
    unknown: (namespace) => `没有命名空间 ${namespace}`,
    unknownText: '它已被删除，或地址中的名称有误。请前往一个存在的命名空间，或创建它。',
    forbidden: (namespace) => `你无权查看命名空间 ${namespace}`,
    others: '你可以查看的命名空间',
    none: '没有你可以查看的命名空间。',
    create: '创建…',
    createTitle: (namespace) => `创建命名空间 ${namespace}`,
    createWhat: '它一开始是空的：之后服务可以在其中注册，文档可以发布。只要其中没有内容，就可以再次删除。',
    createAction: '创建',
    needs: '需要在所有命名空间中的 admin 角色',
    command: '或使用命令行',
  },
)
