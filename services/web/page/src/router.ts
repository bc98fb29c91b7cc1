import { createRouter, createWebHistory } from 'vue-router'
import BuildPage from './pages/BuildPage.vue'
import BuildsPage from './pages/BuildsPage.vue'
import PipelinesPage from './pages/PipelinesPage.vue'

const pipeline = '/pipelines/:source/:owner/:name'

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', redirect: '/pipelines' },
    { path: '/pipelines', component: PipelinesPage },
    { path: pipeline, component: BuildsPage, props: true },
    { path: `${pipeline}/builds`, component: BuildsPage, props: true },
    { path: `${pipeline}/builds/:id`, component: BuildPage, props: true },
    { path: `${pipeline}/builds/:id/logs`, component: BuildPage, props: true },
    { path: '/:rest(.*)*', redirect: '/pipelines' },
  ],
})
